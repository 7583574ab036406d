"""SimCord's page of a channel, for several people in several channels at once, and always current."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simcord import actors
from simcord.backend import serializers
from simcord.backend.access import can_access_message
from simcord.enums import AppCommandType, InteractionType
from simcord.preview import Preview
from simcord.results import ResponseMessage

from bot.playground.community import Community, Seat
from bot.playground.live_env import LiveEnv
from bot.playground.recent_pictures import RecentPictures

_RELATIVE_TIME_SECONDS = 1.0
_SHOWN_MESSAGES = 50
_WIDTH, _HEIGHT = 1100, 800


class LivePreview(Preview):
    """A ``Preview`` of a whole community: each open page is one person in one channel.

    SimCord's own has one channel for all pages; here the channel and its viewers are those of the page that is being
    opened, acted on or published. Actions of all pages run one after the other, since SimCord allows one at a time.
    """

    def __init__(self, env: LiveEnv, community: Community, port: int = 0) -> None:
        self._community = community
        first = Seat(community.people[0], community.places[0])
        self._seat = contextvars.ContextVar("seat", default=first)
        self._seats: dict[str, Seat] = {}
        self._published: dict[str, int] = {}
        self._recent = RecentPictures(self)
        self._turn = asyncio.Lock()
        super().__init__(
            env,
            self.channel,
            self.viewers,
            layout="channel",
            display="responsive",
            width=_WIDTH,
            height=_HEIGHT,
            locale="en-US",
            timezone="UTC",
            presentation_time=None,
            assets=None,
            port=port,
        )

    @property
    def channel(self) -> Any:
        """The channel of the current page."""
        return self._seat.get().channel

    @channel.setter
    def channel(self, _value: Any) -> None:
        """Ignore the base class's assignment."""

    @property
    def viewers(self) -> tuple[Any, ...]:
        """Everybody who may look at the channel of the current page."""
        seat = self._seat.get()
        return (seat.viewer,) if seat.is_direct else tuple(person.member for person in self._community.people)

    @viewers.setter
    def viewers(self, _value: Any) -> None:
        """Ignore the base class's assignment."""

    @contextlib.contextmanager
    def _as(self, seat: Seat) -> Iterator[None]:
        token = self._seat.set(seat)
        try:
            yield
        finally:
            self._seat.reset(token)

    @contextlib.asynccontextmanager
    async def turn(self, context_id: str | None = None) -> AsyncIterator[Seat]:
        """Wait until no other action runs, and let none run meanwhile; as the person of a page, if one is named.

        Raises simcord's ``SetupError`` if the page is not open.
        """
        async with self._turn:
            seat = self._seat.get() if context_id is None else self.seat_of(context_id)
            with self._as(seat):
                yield seat

    def seat_of(self, context_id: str) -> Seat:
        """Return who looks at a page, and where. Raises simcord's ``SetupError`` if it is not open."""
        return self._seats[self._get_page(context_id).id]

    def open_seat(self, person_id: int, place_key: str, timezone: str) -> Any:
        """Open a page for a person in a place. Raises :class:`KeyError` for an unknown one."""
        seat = Seat(self._community.person(person_id), self._community.place(place_key))
        with contextlib.suppress(ZoneInfoNotFoundError, ValueError):
            self.timezone = ZoneInfo(timezone).key
        with self._as(seat):
            page = super()._open_page(str(seat.viewer.id))
        self._seats[page.id] = seat
        self._seats = {key: seat for key, seat in self._seats.items() if key in self._pages}
        return page

    async def take_seat(self, context_id: str, person_id: int, place_key: str) -> None:
        """Show another person or place on an open page, once the page's own action is done.

        Raises :class:`KeyError` for an unknown one, simcord's ``SetupError`` if the page is not open.
        """
        seat = Seat(self._community.person(person_id), self._community.place(place_key))
        page = self._get_page(context_id)
        while self._action_page is page:
            async with self.turn():
                pass
        page.viewer, page.channel_id = seat.viewer, seat.channel.id
        page.generation += 1
        page.modal = page.modal_handle = page.target_id = page.window_end_id = None
        page.status = "current"
        self._seats[page.id] = seat
        self._reset_queries(page)
        self._redact_page_receipts(page)
        self._clear_page_assets(page)
        self._publish(page, reason="navigation")

    def newest_messages(self, context_id: str) -> dict[str, str]:
        """Return the id of the newest message that the person of a page may read, by place; "0" without messages."""
        person = self.seat_of(context_id).person
        newest = {}
        for place in self._community.places:
            seat = Seat(person, place)
            channel_id = seat.channel.id
            stored = reversed(self.env.backend.messages.get(channel_id, {}).values())
            readable = (m.id for m in stored if can_access_message(self.env, channel_id, m, seat.viewer, history=True))
            newest[place.key] = str(next(readable, 0))
        return newest

    def _publish(self, page: Any, **options: Any) -> None:
        with self._as(self._seats.get(page.id) or self._seat.get()):
            super()._publish(page, **options)
        self._recent.remember(page)

    async def _action(self, context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        """Run what a page asks for, though the channel or the bot may have moved on since the page was drawn."""
        async with self.turn(context_id):
            page = self._get_page(context_id)
            return await super()._action(
                context_id, {**body, "published_revision": page.revision, "bot_generation": self.env._generation}
            )

    async def _prepare_asset(
        self, context_id: str | None, asset_id: str, *, capture: bool = False, poster: bool = False, **options: Any
    ) -> tuple[str, bytes, str]:
        """Return a picture as it is, also one that a newer preview has just replaced; anything else as SimCord does.

        SimCord decodes each in a new process, which takes longer than a preview stands.
        """
        picture = self._recent.get(self._get_page(context_id).id, asset_id)
        if picture is None or capture or poster or options.get("media_time") is not None:
            return await super()._prepare_asset(context_id, asset_id, capture=capture, poster=poster, **options)
        return picture

    # What SimCord's page lacks.

    async def send(
        self, context_id: str, content: str, files: Sequence[tuple[str, bytes]], reply_to: int | None
    ) -> None:
        """Post a message with files as the person of a page. Raises simcord's ``SetupError`` or ``BackendError``."""
        async with self.turn(context_id) as seat:
            page = self._get_page(context_id)
            if seat.is_direct:
                backend = self.env.backend
                reference = {"channel_id": str(page.channel_id), "message_id": str(reply_to)} if reply_to else None
                stored = backend.store_attachments(page.channel_id, files)
                await seat.viewer.send_dm(content, reference=reference, attachments=stored)
            else:
                target = ResponseMessage(self.env, self._target_message(page, reply_to)) if reply_to else None
                await seat.viewer.send(seat.channel, content, reply_to=target, attachments=files)

    def menu_commands(self, context_id: str, kind: AppCommandType) -> list[str]:
        """Return the names of the right-click commands that the person of a page sees on messages or people."""
        seat, page = self.seat_of(context_id), self._get_page(context_id)
        commands = self.env.backend.visible_commands(user_id=seat.viewer.id, channel_id=page.channel_id, type=int(kind))
        return [command["name"] for command in commands]

    async def use_menu(self, context_id: str, name: str, kind: AppCommandType, target_id: int) -> None:
        """Use a right-click command on a message or a person. Raises simcord's errors, or KeyError for nobody."""
        async with self.turn(context_id) as seat:
            page = self._get_page(context_id)
            if kind is AppCommandType.USER:
                target: Any = self._community.person(target_id).member
            else:
                target = ResponseMessage(self.env, self._target_message(page, target_id))
            result = await self._menu_interaction(seat, page, name, kind, target)
            if result.modal is not None:
                page.modal, page.modal_handle = result, "m_" + secrets.token_urlsafe(12)

    async def _menu_interaction(self, seat: Seat, page: Any, name: str, kind: AppCommandType, target: Any) -> Any:
        if not seat.is_direct:
            return await seat.viewer.context_menu(seat.channel, name, target)
        # SimCord's people have no right-click in direct messages; Discord's do.
        stored = self._target_message(page, target.id)
        command = actors._resolve_visible_command(seat.viewer, page.channel_id, name, kind)
        message = dict(serializers.message_payload(self.env.backend, stored))
        data = {
            "id": command["id"],
            "name": name,
            "type": kind,
            "target_id": str(target.id),
            "resolved": {"messages": {str(target.id): message}},
        }
        return await actors._dispatch_actor_interaction(
            seat.viewer, InteractionType.APPLICATION_COMMAND, seat.channel, data
        )

    # Publishing: SimCord's page shows what was published after its last action; here it shows what there is.

    def _page_payload(self, page: Any) -> dict[str, Any]:
        if self._has_changed(page):
            self._advance_presentation_time()
            self._publish(page, reason="refresh")
        return super()._page_payload(page)

    def _has_changed(self, page: Any) -> bool:
        """Return True if a page shows something else than when it was last asked about, be it a time in words."""
        messages = self._shown_messages(page)
        relative_times = any(":R>" in message.content for message in messages)
        moment = int(time.monotonic() / _RELATIVE_TIME_SECONDS) if relative_times else 0
        state = hash((self.env._generation, page.modal_handle, moment, repr(messages)))
        if self._published.get(page.id) == state:
            return False
        self._published = {key: value for key, value in self._published.items() if key in self._pages}
        self._published[page.id] = state
        return True

    def _shown_messages(self, page: Any) -> list[Any]:
        newest = list(self.env.backend.messages.get(page.channel_id, {}).values())[-_SHOWN_MESSAGES:]
        return [m for m in newest if can_access_message(self.env, page.channel_id, m, page.viewer, history=True)]
