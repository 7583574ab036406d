"""Messages to the bot: edits by reply or mention, and what does not ask for an edit, which is answered."""

from __future__ import annotations

from dataclasses import replace

import discord
from discord.ext import commands

from bot.commands.input_images import NO_PICTURE, InputImage, pick, picture_attachments
from bot.commands.invocation import MessageInvocation
from bot.commands.mentions import is_mentioned, with_own_mention, without_mentions
from bot.commands.parts import BotParts
from bot.commands.submission import Edit
from bot.errors import NotHere, Refusal
from bot.requests.drafts import Draft, drafted
from bot.requests.edit_texts import text_after_command
from bot.requests.flags import has_flag
from bot.requests.refusals import Alternative, RequestRefused
from bot.requests.small_talk import is_small_talk
from bot.requests.spec import ImageOptions
from bot.store import images
from bot.store.guild_settings import EVERY_REPLY, read_setting
from bot.throttle import Throttle
from bot.views.drafts import ALTERNATIVES_MAX
from bot.views.message_errors import safe_message_handler
from bot.views.picture_references import attachment_reference, message_reference
from zimage_engine.types import InvalidRequest

_NOT_HERE_SECONDS = 60.0
_WRITTEN = (discord.MessageType.default, discord.MessageType.reply)
"""The types of messages that people write; Discord makes the others, such as that a message was pinned."""


def asked_for(content: str, bot_id: int, *, to_result: bool, every_reply: bool, direct: bool) -> str | None:
    """Return the prompt of a message that asks for an edit, which may be empty. None if it does not ask for one.

    A written mention asks for one. So does a reply to a result that begins with ``edit:`` or ``/edit`` or has a flag;
    with ``every_reply`` any reply to one; and any direct message with a picture (``direct``).
    """
    mentioned, text = is_mentioned(content, bot_id), without_mentions(content, bot_id)
    after_command = text_after_command(text)
    if after_command is not None and (to_result or mentioned or direct):
        return after_command
    if mentioned or direct or (to_result and text and (every_reply or has_flag(text))):
        return text
    return None


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Listen to messages, and to their deletion."""
    replies = Replies(bot, parts)
    not_here: Throttle[int] = Throttle(_NOT_HERE_SECONDS)
    bot.add_listener(safe_message_handler(replies.on_message, not_here, parts.database), "on_message")
    bot.add_listener(replies.on_raw_message_delete)
    bot.add_listener(replies.on_raw_bulk_message_delete)


class Replies:
    """Edits pictures for messages that ask for it; images of deleted messages count as deleted."""

    def __init__(self, client: discord.Client, parts: BotParts) -> None:
        self._client = client
        self._submission = parts.submission
        self._input_images = parts.input_images
        self._gallery = parts.gallery
        self._database = parts.database
        self._first_contact = parts.first_contact
        self._allowed_guilds = parts.settings.allowed_guilds

    async def on_message(self, message: discord.Message) -> None:
        me = self._client.user
        if me is None or message.author.bot or message.webhook_id is not None:
            return
        if not self._serves(message):
            if message.guild is None:
                raise NotHere("I work in my operator's servers, not in direct messages.")
            return
        replied = message.reference.message_id if message.reference is not None else None
        to_result = replied is not None and bool(await images.of_message(self._database, replied))
        if self._is_hidden(message, to_result=to_result):
            await self._first_contact.hint(message)
            return
        pictures = picture_attachments(message)
        direct = message.guild is None
        content = with_own_mention(message, me)
        said = without_mentions(content, me.id)
        command = text_after_command(said) is not None
        text = asked_for(
            content,
            me.id,
            to_result=to_result,
            every_reply=to_result and await self._every_reply(message),
            direct=direct and (bool(pictures) or command),
        )
        has_picture = bool(pictures) or replied is not None
        mentioned = is_mentioned(content, me.id)
        talk = text is not None and mentioned and not command and not pictures and is_small_talk(text)
        if text is not None and not talk and (has_picture or command):
            # The place is checked before anything else is said: a blocked member learns nothing more.
            invocation, check_place = MessageInvocation(message), self._submission.jobs.admission.check_place
            if not text:
                await check_place(invocation.requester)
                raise Refusal("Say what the picture shows afterwards, like: a lighthouse at night --strength 0.5")
            with drafted(Draft(text, picture=_reference(message, pictures))):
                await check_place(invocation.requester)
                await self._edit(invocation, message, text, pictures)
        elif message.type in _WRITTEN and (direct or mentioned):
            await self._first_contact.greet(message, said)

    def _is_hidden(self, message: discord.Message, *, to_result: bool) -> bool:
        """Return whether a message is meant for the bot, and Discord does not show the bot what it says.

        Without the message-content intent Discord does so for replies that don't ping the bot, replies to answers of
        its commands, and mentions of its role.
        """
        if self._client.intents.message_content or message.guild is None or message.type not in _WRITTEN:
            return False
        if message.content or message.attachments or message.stickers:
            return False
        if message.guild.self_role is not None and message.guild.self_role in message.role_mentions:
            return True
        reference = message.reference
        if reference is None or reference.type is not discord.MessageReferenceType.reply:
            return False
        shown = reference.resolved
        return to_result or (isinstance(shown, discord.Message) and shown.author == self._client.user)

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        await self._gallery.messages_deleted([event.message_id])

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        await self._gallery.messages_deleted(event.message_ids)

    async def _edit(
        self, invocation: MessageInvocation, message: discord.Message, text: str, pictures: list[discord.Attachment]
    ) -> None:
        submission, typed = self._submission, ImageOptions(text)
        # The submission reads the flags of what was typed itself: what is left of them here may look like flags again.
        options = submission.read_edit(typed)
        if not options.prompt:
            raise InvalidRequest("Say in words what the picture shows afterwards; flags alone change nothing.")
        if pictures:
            input_image = self._input_images.attachment(
                invocation, pictures[pick(len(pictures), options.which)], message.jump_url
            )
        elif message.reference is not None and message.reference.message_id is not None:
            input_image = await self._replied_to(invocation, message, options)
        else:
            raise Refusal(NO_PICTURE)
        await submission.edit(invocation, Edit(typed), input_image)

    async def _replied_to(
        self, invocation: MessageInvocation, message: discord.Message, options: ImageOptions
    ) -> InputImage:
        reference, which = message.reference, options.which
        assert reference is not None
        assert reference.message_id is not None
        rows = await images.of_message(self._database, reference.message_id)
        if which is None and 1 < len(rows) <= ALTERNATIVES_MAX:
            raise _which_of(len(rows), options)
        if rows:
            return await self._input_images.image(invocation, rows[pick(len(rows), which)].id)
        shown = reference.resolved
        if not isinstance(shown, discord.Message):
            try:
                shown = await message.channel.fetch_message(reference.message_id)
            except discord.HTTPException as error:
                raise Refusal(NO_PICTURE) from error
        return await self._input_images.message(invocation, shown, which)

    async def _every_reply(self, message: discord.Message) -> bool:
        return await read_setting(self._database, message.guild.id if message.guild else None, EVERY_REPLY) == "on"

    def _serves(self, message: discord.Message) -> bool:
        allowed = self._allowed_guilds
        return not allowed or (message.guild is not None and message.guild.id in allowed)


def _which_of(count: int, options: ImageOptions) -> RequestRefused:
    """Return the question which of a message's pictures is meant, with a button for each."""
    numbered = [Alternative(str(number), replace(options, which=number)) for number in range(1, count + 1)]
    return RequestRefused(
        f"That message has {count} pictures: press the number of the one you mean, or add `--image 2`, for example.",
        *numbered,
    )


def _reference(message: discord.Message, pictures: list[discord.Attachment]) -> str:
    """Return the name that a draft has for the picture a message is about; "" if it is not known."""
    if len(pictures) == 1:
        return attachment_reference(pictures[0])
    replied = message.reference.message_id if message.reference is not None else None
    return message_reference(message.channel.id, replied) if replied is not None and not pictures else ""
