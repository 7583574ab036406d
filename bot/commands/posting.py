"""Whether a result may be posted in a channel: by the member who asks, and by the bot."""

from __future__ import annotations

import structlog

from bot.commands.invocation import Invocation
from bot.errors import Refusal
from bot.jobs.admission import Admission
from bot.moderation.access import Action, Actor, may
from bot.views.permissions import cannot_post_text

log = structlog.get_logger(__name__)


async def shown_to(invocation: Invocation, admission: Admission, *, private: bool, notes: str) -> tuple[bool, str]:
    """Return whether a result is for the member alone, since who may not write posts nothing, and the card's notes.

    Raises :class:`Refusal` if it would be, and the server does not allow private pictures.
    """
    verdict = may(Action.POST, Actor(invocation.user.id), invocation.place)
    if private or verdict.allowed:
        return private, notes
    if not await admission.allows_private(invocation.requester.guild_id):
        raise Refusal(
            "You may not write in this channel, and this server does not allow pictures that you alone see: ask in a "
            "channel where you may write."
        )
    return True, f"{verdict.value} {notes}".strip()


async def check_may_post(invocation: Invocation, admission: Admission, *, private: bool) -> None:
    """Raise :class:`Refusal` if the bot may not post the result in the channel. Private results don't go there."""
    if private or not (missing := invocation.missing_permissions):
        return
    await admission.check_place(invocation.requester)  # may name the channels to use instead
    log.info("job_refused", user=invocation.user.id, reason="missing_permissions", missing=list(missing))
    allowed = await admission.allows_private(invocation.requester.guild_id)
    raise Refusal(cannot_post_text(missing, private=allowed and invocation.reply is not None))
