"""What a request takes from its member's own settings: the model, and the options that they left out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bot.commands.invocation import Invocation
from bot.jobs.admission import Admission
from bot.requests.member_settings import apply, read_member_settings
from bot.requests.models import Models
from bot.requests.spec import ImageOptions, choose_size
from bot.store.database import Database


@dataclass(frozen=True, slots=True)
class ChosenOptions:
    """Completes requests from their members' own settings. ``max_count`` is the operator's limit of pictures."""

    models: Models
    admission: Admission
    database: Database
    max_count: int

    async def models_for(self, invocation: Invocation, of_picture: str = "", *, edit: bool = False) -> Models:
        """Return the models, preferring the one for a request that names none: see :meth:`Models.chosen`."""
        allowed = await self.admission.allowed_models(invocation.requester)
        own = None
        if self.models.several:  # else /settings does not offer the option
            own = (await read_member_settings(self.database, invocation.user.id)).model
        return self.models.chosen(allowed, own, of_picture, edit=edit)

    async def with_settings(
        self,
        invocation: Invocation,
        options: ImageOptions,
        models: Models,
        *,
        private: bool | None,
        edit: bool,
    ) -> tuple[ImageOptions, bool, str]:
        """Fill in the member's own settings. Returns the options, whether the job is private, and what to tell of it.

        ``models`` are those of :meth:`models_for`, for options whose flags have been read. The member is told in
        sentences which settings make a difference, and which model was replaced; the text is empty if there is nothing.
        """
        profile, note = models.of(options), models.note if options.model is None else ""
        member_settings = await read_member_settings(self.database, invocation.user.id)
        max_count = self.max_count
        if member_settings.count is not None or member_settings.size is not None:
            limits = (await self.admission.quota_state(invocation.requester)).limits
            max_count = min(max_count, limits["max_count"].value or max_count)
            pixels = limits["max_pixels"].value
            if member_settings.size in profile.scales and pixels is not None:
                size = choose_size(member_settings.size, options.aspect or member_settings.aspect, profile)
                # The member did not ask for this size now, so it is dropped if it is not allowed, not refused.
                member_settings = member_settings if size.pixels <= pixels else replace(member_settings, size=None)
        options, private, applied = apply(
            member_settings, options, private, profile=profile, edit=edit, max_count=max_count
        )
        return options, private, f"{note} {applied}".strip()
