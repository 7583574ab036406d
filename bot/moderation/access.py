"""Who may see and do what: one table, which every command, button, form and message asks.

It knows facts alone, no Discord: :mod:`bot.commands.picture_access` and :mod:`bot.commands.invocation` collect them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

Editable = Literal["all", "results", "own"]
"""Whose pictures a server lets its members edit: everybody's, all of the bot's, or only the member's own."""


class Action(Enum):
    """What somebody wants to do with a picture, or in a place."""

    SEE = "see"
    """Be shown the picture, its parameters or its family."""
    EDIT = "edit"
    """Make a new picture from it."""
    REPEAT = "repeat"
    """Generate it again with another seed; an edit starts from the same original."""
    COMPARE = "compare"
    """Be shown the original of an edit."""
    DELETE = "delete"
    MODERATE = "moderate"
    """Delete it as a moderator, or block its owner."""
    CANCEL = "cancel"
    """Cancel the request for it."""
    POST = "post"
    """Have the result posted where everybody sees it. No picture is needed to ask this."""


class Verdict(Enum):
    """The answer to a question: ``ALLOWED``, or a refusal, whose value is the sentence for the member."""

    ALLOWED = ""
    PRIVATELY = "You may not write in this channel, so my answer is for you alone."
    """The member may have what they ask for, but nobody else may be shown it."""
    NOT_FOUND = "There is no such picture here."
    """The member may not know whether there is one."""
    ORIGINAL_HIDDEN = (
        "You may not see the picture that this one was made from, so you can neither compare the two nor repeat the "
        "edit. Edit and Vary go on from what you see."
    )
    ORIGINAL_GONE = (
        "The picture that this one was made from is no longer kept, so only the member who asked can repeat the edit. "
        "Edit and Vary go on from what you see."
    )
    OWN_ONLY = "In this server members edit their own pictures only."
    RESULTS_ONLY = "In this server only my pictures can be edited."
    AGE_RESTRICTED = "That picture is from an age-restricted channel: use it in a channel that is age-restricted, too."
    NOT_THEIRS_TO_DELETE = "Only the member who asked for this picture, or a moderator, can delete it."
    NOT_THEIRS_TO_CANCEL = "Only the member who asked for this picture, or a moderator, can cancel it."
    NOT_MODERATOR = "Only moderators can do that: you need Manage Messages in this channel."

    @property
    def allowed(self) -> bool:
        return self is Verdict.ALLOWED


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts."""

    member_id: int


@dataclass(frozen=True, slots=True)
class Place:
    """A channel, thread or conversation, with what the actor may do there.

    ``guild_id`` is None outside of servers. ``reads``: View Channel, and for another channel than the one where the
    actor is Read Message History; private threads are read by their members alone. ``writes``: Send Messages, in
    threads Send Messages in Threads. ``moderates``: Manage Messages.
    """

    guild_id: int | None
    channel_id: int
    reads: bool = False
    writes: bool = False
    moderates: bool = False
    age_restricted: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, or the request for one.

    ``place`` is where it was posted, or is to be. ``private`` pictures are seen by their owner alone. ``ours`` is False
    for one that the bot did not generate. ``edited`` pictures have an original: the bot's picture ``original``, or one
    that was given to the bot and that nobody else has seen (None). ``gone`` pictures were deleted.
    """

    owner_id: int
    place: Place
    private: bool = False
    ours: bool = True
    edited: bool = False
    original: Picture | None = None
    gone: bool = False


def may(
    action: Action, actor: Actor, place: Place, picture: Picture | None = None, *, editable: Editable = "all"
) -> Verdict:
    """Return whether an actor who is in a place may do something, with a picture unless the action is ``POST``.

    ``editable`` is the setting of the place's server. Raises :class:`ValueError` if the action lacks its picture.
    """
    if action is Action.POST:
        return Verdict.ALLOWED if place.writes else Verdict.PRIVATELY
    if picture is None:
        raise ValueError(f"{action.value}: of which picture?")
    if action is Action.EDIT:
        return _edit(actor, place, picture, editable)
    return _TABLE[action](actor, place, picture)


def _see(actor: Actor, place: Place, picture: Picture) -> Verdict:
    own = picture.owner_id == actor.member_id
    if not own and (picture.private or not _within_reach(place, picture.place)):
        return Verdict.NOT_FOUND
    if picture.place.age_restricted and not place.age_restricted:
        return Verdict.AGE_RESTRICTED
    return Verdict.ALLOWED


def _edit(actor: Actor, place: Place, picture: Picture, editable: Editable) -> Verdict:
    seen = _see(actor, place, picture)
    if not seen.allowed or picture.owner_id == actor.member_id or editable == "all":
        return seen
    if editable == "own":
        return Verdict.OWN_ONLY
    return Verdict.ALLOWED if picture.ours else Verdict.RESULTS_ONLY


def _repeat(actor: Actor, place: Place, picture: Picture) -> Verdict:
    seen = _see(actor, place, picture)
    if not seen.allowed or not picture.edited or picture.owner_id == actor.member_id:
        return seen
    shown = _original(actor, place, picture)
    gone = picture.original is not None and picture.original.gone
    return Verdict.ORIGINAL_GONE if shown.allowed and gone else shown


def _compare(actor: Actor, place: Place, picture: Picture) -> Verdict:
    seen = _see(actor, place, picture)
    return _original(actor, place, picture) if seen.allowed and picture.edited else seen


def _original(actor: Actor, place: Place, picture: Picture) -> Verdict:
    """Return whether the original of an edit can be shown: to its owner alone, unless it is a picture of the bot's."""
    if picture.original is None:
        return Verdict.ALLOWED if picture.owner_id == actor.member_id else Verdict.ORIGINAL_HIDDEN
    seen = _see(actor, place, picture.original)
    return Verdict.ORIGINAL_HIDDEN if seen is Verdict.NOT_FOUND else seen


def _delete(actor: Actor, place: Place, picture: Picture) -> Verdict:
    if picture.owner_id == actor.member_id:
        return Verdict.ALLOWED
    if picture.private or not _within_reach(place, picture.place):
        return Verdict.NOT_FOUND
    return Verdict.ALLOWED if picture.place.moderates else Verdict.NOT_THEIRS_TO_DELETE


def _moderate(actor: Actor, place: Place, picture: Picture) -> Verdict:
    """Moderators act where the picture was posted, on what everybody there sees."""
    if place.guild_id is None or (place.guild_id, place.channel_id) != (
        picture.place.guild_id,
        picture.place.channel_id,
    ):
        return Verdict.NOT_FOUND
    if picture.private and picture.owner_id != actor.member_id:
        return Verdict.NOT_FOUND
    return Verdict.ALLOWED if picture.place.moderates else Verdict.NOT_MODERATOR


def _cancel(actor: Actor, place: Place, picture: Picture) -> Verdict:
    """Moderators cancel private requests, too: they take the place of others in the queue."""
    if picture.owner_id == actor.member_id:
        return Verdict.ALLOWED
    same_server = place.guild_id is not None and place.guild_id == picture.place.guild_id
    return Verdict.ALLOWED if same_server and picture.place.moderates else Verdict.NOT_THEIRS_TO_CANCEL


def _within_reach(place: Place, posted: Place) -> bool:
    """Return whether what was posted somewhere can be seen from a place: in a server by who reads there."""
    if place.guild_id != posted.guild_id:
        return False
    return posted.reads and (place.guild_id is not None or place.channel_id == posted.channel_id)


_TABLE: Mapping[Action, Callable[[Actor, Place, Picture], Verdict]] = {
    Action.SEE: _see,
    Action.REPEAT: _repeat,
    Action.COMPARE: _compare,
    Action.DELETE: _delete,
    Action.MODERATE: _moderate,
    Action.CANCEL: _cancel,
}
