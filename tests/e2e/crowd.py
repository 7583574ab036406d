"""Members who ask for pictures in every way, in five channels, at random from a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.e2e.evidence import RESULT, Ask, jobs_in
from tests.helpers.loopback import (
    ANNOUNCEMENTS,
    CHANNEL,
    FORUM_POST,
    MEMBERS,
    TEXT_CHANNELS,
    VOICE,
    Loopback,
    Message,
    shown,
)
from tests.helpers.pictures import photo

CHANNELS = (CHANNEL, TEXT_CHANNELS[1], ANNOUNCEMENTS, FORUM_POST, VOICE)
_PATIENCE = 3.0


class Crowd:
    """Asks for pictures, and adds to ``asks`` what was asked for and to ``cancelled`` the jobs that were cancelled."""

    def __init__(self, discord: Loopback, randomness: random.Random, asks: list[Ask], cancelled: set[int]) -> None:
        self._discord = discord
        self._random = randomness
        self._asks = asks
        self._cancelled = cancelled
        self._ways: dict[Callable[[], Awaitable[bool]], int] = {
            self._imagine: 8,
            self._four: 3,
            self._privately: 3,
            self._edit_attachment: 4,
            self._edit_by_reply: 4,
            self._again: 3,
            self._vary: 3,
        }

    async def ask(self) -> None:
        """Have one member ask for one picture; in ways that need a picture only if there is one."""
        ways = list(self._ways)
        weights = list(self._ways.values())
        while not await self._random.choices(ways, weights)[0]():
            pass
        if self._random.random() < 0.15:
            await self._cancel()

    async def _imagine(self) -> bool:
        await self._command("imagine", steps=self._random.randint(2, 8))
        return True

    async def _four(self) -> bool:
        await self._command("imagine", count=4, steps=4)
        return True

    async def _privately(self) -> bool:
        await self._command("imagine", private=True, count=self._random.randint(1, 2), steps=4)
        return True

    async def _edit_attachment(self) -> bool:
        await self._command("edit", image=photo(), steps=4, private=self._random.random() < 0.3)
        return True

    async def _edit_by_reply(self) -> bool:
        result = self._some_result(ordinary=True)
        if result is None:
            return False
        prompt = self._prompt()
        member = self._member()
        said = await self._discord.say(f"edit: {prompt}", channel=result.channel_id, member=member, reply_to=result)
        self._asks.append(Ask(said.id, "reply", member, result.channel_id, prompt=prompt))
        return True

    async def _again(self) -> bool:
        result = self._some_result()
        return result is not None and await self._click(result, "again", result.seen_by or self._member())

    async def _vary(self) -> bool:
        """Press Vary, and then one of the buttons that are offered privately."""
        result = self._some_result(alone=True)
        if result is None:
            return False
        member = result.seen_by or self._member()
        token = await self._discord.click(result, _button(result, "vary"), member=member)
        end = asyncio.get_running_loop().time() + _PATIENCE
        while (answer := self._discord.state.interactions[token].original_id) is None:
            if asyncio.get_running_loop().time() > end:
                return False
            await asyncio.sleep(0.02)
        menu = self._discord.state.messages[answer]
        return bool(menu.custom_ids) and await self._click(menu, self._random.choice(["subtle", "strong"]), member)

    async def _cancel(self) -> None:
        """Have the owner of a card press Cancel."""
        cards = [message for message in shown(self._discord.state.record) if jobs_in(message)]
        owned = [(card, owner) for card in cards if (owner := self._owner_of(card)) is not None]
        if owned:
            card, owner = self._random.choice(owned)
            self._cancelled |= jobs_in(card)
            await self._discord.click(card, card.custom_ids[0], member=owner)

    def _owner_of(self, card: Message) -> str | None:
        """Return who asked for a card's job, if the card shows it."""
        if card.interaction is not None:
            return self._discord.state.interactions[card.interaction].member_id
        asked = self._discord.state.messages.get(card.reference or "")
        return asked.author_id if asked is not None else None

    async def _command(self, name: str, **options: str | float | bytes) -> None:
        prompt, member, channel = self._prompt(), self._member(), self._random.choice(CHANNELS)
        token = await self._discord.command(name, channel=channel, member=member, prompt=prompt, **options)
        self._asks.append(Ask(token.removeprefix("token-"), name, member, channel, token, prompt))

    async def _click(self, message: Message, what: str, member: str) -> bool:
        token = await self._discord.click(message, _button(message, what), member=member)
        self._asks.append(Ask(token.removeprefix("token-"), what, member, message.channel_id, token))
        return True

    def _some_result(self, *, ordinary: bool = False, alone: bool = False) -> Message | None:
        """Return a result that somebody sees: an ordinary message if wanted, or one with a single picture."""
        results = [
            message
            for message in shown(self._discord.state.record)
            if jobs_in(message, RESULT)
            and not (ordinary and (message.interaction or message.seen_by))
            and not (alone and len(message.attachments) != 1)
        ]
        return self._random.choice(results) if results else None

    def _prompt(self) -> str:
        colour = self._random.choice(["red", "green", "yellow", "white"])
        return f"a {colour} circle on a blue background for request {len(self._asks)}."

    def _member(self) -> str:
        return self._random.choice(list(MEMBERS))


def _button(message: Message, what: str) -> str:
    return next(each for each in message.custom_ids if each.startswith(f"zib:{what}:"))
