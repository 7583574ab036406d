"""A member who asks while another action is under way: SimCord itself runs one action at a time."""

from __future__ import annotations

import itertools
from typing import Any

import discord

from bot.commands.submission import Submission
from bot.moderation.access import Place
from bot.playground.world import World
from bot.requests.drafts import RequestError
from bot.requests.spec import ImageOptions
from bot.store.limits import Requester
from bot.store.reply_tokens import ReplyToken

_IDS = itertools.count(1)


class Sheet:
    """A card that records what it shows."""

    private = False

    def __init__(self, text: str) -> None:
        self.message_id = next(_IDS)
        self.shown = [text]
        self.told: list[str] = []
        self.files: list[discord.File] = []

    async def edit(self, **changes: Any) -> None:
        self.shown.append(changes["content"])
        self.files += changes.get("attachments", [])

    async def delete(self) -> None:
        pass

    async def notify_owner(self, sentence: str, view: discord.ui.View | None = None) -> None:
        self.told.append(sentence)


class Typist:
    """An invocation of ``/imagine`` in the world's channel; ``card`` is the card of the last one."""

    reply: ReplyToken | None = None
    response_file_limit = None
    missing_permissions: tuple[str, ...] = ()

    def __init__(self, world: World, member: Any = None) -> None:
        self._world = world
        self.user = discord.Object((member or world.member).id)
        self.guild = world.env.bot.get_guild(world.channel.guild.id)
        self.channel_id = world.channel.id
        self.place = Place(self.guild.id, self.channel_id, reads=True, writes=True)
        self.event_id = next(_IDS)
        self.card: Sheet

    @property
    def requester(self) -> Requester:
        return Requester(self.user.id, self.guild.id, self.guild.id, channels=(self.channel_id,))

    async def open_card(
        self, text: str, view: discord.ui.View | None, *, private: bool, file: discord.File | None = None
    ) -> Sheet:
        self.card = Sheet(text)
        return self.card

    async def imagine(self, prompt: str, **options: Any) -> Sheet:
        submission: Submission = self._world.env.bot.parts.submission
        self.event_id = next(_IDS)
        try:
            await submission.imagine(self, ImageOptions(prompt, private=False, **options))
        except RequestError as error:
            raise error.original from error
        return self.card

    async def ask(self, text: str, view: discord.ui.View) -> Sheet:
        raise AssertionError(f"nothing to ask: {text}")

    async def answered_by(self, interaction: Any) -> Typist:
        raise AssertionError("nothing was asked")
