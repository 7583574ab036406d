"""What a request takes from its member's own settings: the model, and the options that they left out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bot.commands.invocation import Invocation
from bot.jobs.admission import Admission
from bot.requests.member_settings import apply, read_member_settings
from bot.requests.models import Models
from bot.requests.spec import ImageOptions, choose_size
from bot.store.database import Database
from zimage_engine.profiles import ModelProfile


@dataclass(frozen=True, slots=True)
class ChosenOptions:
    """Completes requests from their members' own settings. ``max_count`` is the operator's limit of pictures."""

    models: Models
    admission: Admission
    database: Database
    max_count: int

    async def models_for(self, invocation: Invocation, of_picture: str = "") -> Models:
        """Return the models, preferring that of the picture to change, the member's own, or the first they may use.

        ``of_picture`` is the title of the picture's model, "" if it is not known. A model that the member may not use,
        or that cannot change the picture, is not preferred.
        """
        models = self.models
        if not models.several:
            return models
        allowed = await self.admission.allowed_models(invocation.requester)
        member_settings = await read_member_settings(self.database, invocation.user.id)
        of_parent = models.titled(of_picture)
        wanted = [models.named(name) for name in (member_settings.model, *allowed)]
        if of_parent is not None and of_parent.editing != "none":
            wanted.insert(0, of_parent)
        return models.preferring(next((each for each in wanted if each is not None and each.name in allowed), None))

    async def with_settings(
        self,
        invocation: Invocation,
        options: ImageOptions,
        profile: ModelProfile,
        *,
        private: bool | None,
        edit: bool,
    ) -> tuple[ImageOptions, bool, str]:
        """Fill in the member's own settings. Returns the options, whether the job is private, and what was applied.

        ``profile`` is the request's model. What was applied is text for the member, empty if their settings make no
        difference.
        """
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
        return apply(member_settings, options, private, profile=profile, edit=edit, max_count=max_count)
