"""Answers people who write to the bot without a command, or whose text Discord does not show to it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import discord
import structlog
from discord.ext import commands

from bot.commands.help import EXAMPLE, edit_example
from bot.commands.invocation import InteractionInvocation, MessageInvocation
from bot.commands.mentions import with_own_mention, without_mentions
from bot.commands.parts import BotParts
from bot.commands.submission import Submission
from bot.errors import Refusal
from bot.inert import inert
from bot.requests.small_talk import reads_like_prompt
from bot.requests.spec import ImageOptions
from bot.throttle import DOUBLE_CLICK_SECONDS, Throttle
from bot.views.card_messages import NOT_SENT, reply_or_send
from bot.views.command_mentions import CommandMentions
from bot.views.discord_requests import reason_of
from bot.views.first_contact import GenerateButton, generate_view

log = structlog.get_logger(__name__)

_GREETING_SECONDS = 60.0
_OFFER_SECONDS = 3.0
HINT_SECONDS = 30.0
_HINTED_MAX = 10_000
_PROMPT_SHOWN = 300


class FirstContact:
    """Greets members, offers to generate what reads like a prompt, and says how to be read.

    Who has been told how to be read is held in memory, for the last 10,000 members: once more after a restart does no
    harm, and a stored row about somebody who merely talked would be personal data that nobody asked to keep.
    """

    def __init__(self, client: discord.Client, submission: Submission, mentions: CommandMentions) -> None:
        self._client = client
        self._submission = submission
        self._mentions = mentions
        self._greeted: Throttle[tuple[int, int]] = Throttle(_GREETING_SECONDS)
        self._offered: Throttle[tuple[int, int]] = Throttle(_OFFER_SECONDS)
        self._clicks: Throttle[tuple[int, int]] = Throttle(DOUBLE_CLICK_SECONDS)
        self._hinted: OrderedDict[tuple[int, int], None] = OrderedDict()

    async def greet(self, message: discord.Message, text: str) -> None:
        """Answer a message to the bot that asks for no edit; ``text`` is what it says without mentions of the bot.

        A member is greeted once a minute in a channel; what reads like a prompt is answered every three seconds.
        Raises :class:`Refusal` if the member may not use the bot here.
        """
        await self._submission.jobs.admission.check_place(MessageInvocation(message).requester)
        offer = reads_like_prompt(text)
        if not (self._offered if offer else self._greeted).take((message.author.id, message.channel.id)):
            return
        options: dict[str, Any] = {"view": generate_view(message.id)} if offer else {}
        try:
            await reply_or_send(message, self._greeting(text if offer else None), suppress_embeds=True, **options)
        except NOT_SENT as error:
            log.info("greeting_not_sent", user=message.author.id, reason=reason_of(error))

    def _greeting(self, prompt: str | None) -> str:
        profile = self._submission.models.default
        if prompt is None:
            lines = [
                "Hi! I generate pictures from what you write.",
                f"Copy this to try it:\n```\n/imagine prompt:{EXAMPLE}\n```",
            ]
        else:
            lines = [f"Shall I generate a picture of {inert(prompt, _PROMPT_SHOWN)}?"]
        if profile.editing != "none":
            lines.append(
                f"To change a picture, reply to it with `edit: {edit_example(profile)}`, press a button under it, or "
                "right-click it (hold, on a phone) → Apps → **Edit image**."
            )
        lines.append(f"Everything else: {self._mentions.of('help')}")
        return "\n".join(lines)

    async def hint(self, message: discord.Message) -> None:
        """Tell a member, once in each server, how to write so that Discord shows their text to the bot."""
        assert message.guild is not None, "Discord shows every direct message"
        assert self._client.user is not None, "it received a message"
        key = (message.author.id, message.guild.id)
        if key in self._hinted:
            return
        try:
            await self._submission.jobs.admission.check_place(MessageInvocation(message).requester)
        except Refusal:
            return  # there is nothing that they could do here
        self._hinted[key] = None
        while len(self._hinted) > _HINTED_MAX:
            self._hinted.popitem(last=False)
        sentence = (
            f"Discord did not show me your text: mention me in it ({self._client.user.mention}), or right-click the "
            "picture (hold, on a phone) → Apps → **Edit image**; the buttons under it work, too."
        )
        try:
            await reply_or_send(message, sentence, delete_after=HINT_SECONDS)
        except NOT_SENT as error:
            log.info("hint_not_sent", user=message.author.id, reason=reason_of(error))

    async def on_generate(self, interaction: discord.Interaction[Any], message_id: int) -> None:
        """Submit the text of a message of the member who presses the button.

        Raises :class:`Refusal` if it is somebody else's message, or gone.
        """
        if not self._clicks.take((interaction.user.id, message_id)):  # the second press of a double click
            await interaction.response.defer()
            return
        channel = self._client.get_partial_messageable(interaction.channel_id or 0, guild_id=interaction.guild_id)
        try:
            message = await channel.fetch_message(message_id)
        except discord.HTTPException as error:
            raise Refusal("Your message is gone: send it again, or use /imagine.") from error
        if message.author.id != interaction.user.id:
            raise Refusal("Only the member who wrote that can have it generated.")
        assert self._client.user is not None, "it received an interaction"
        text = without_mentions(with_own_mention(message, self._client.user), self._client.user.id)
        if not text:
            raise Refusal("Your message says nothing any more: send it again, or use /imagine.")
        await self._submission.imagine(InteractionInvocation(interaction), ImageOptions(text))


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add the button under greetings."""
    del parts  # it finds them through the interaction
    bot.add_dynamic_items(GenerateButton)
