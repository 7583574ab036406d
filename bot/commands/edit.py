"""``/edit``, ``/details``, ``/tree`` and *Apps → Edit image*: changing pictures, and looking at them."""

# No `from __future__ import annotations` here: the options' ranges are made when the program runs, and discord.py
# reads them from the annotations.

from collections import OrderedDict
from typing import Any, Literal

import discord
from discord import app_commands

from bot.commands.gallery import Gallery
from bot.commands.input_images import InputImage, InputImages, pick, picture_attachments
from bot.commands.invocation import InteractionInvocation
from bot.commands.result_actions import ResultActions
from bot.commands.submission import Edit, Submission
from bot.errors import Refusal
from bot.requests.spec import ImageOptions, ImageSpec
from bot.store import images
from bot.store.database import Database
from bot.views.modals import EditForm, EditModal
from bot.views.text import cut
from zimage_engine.profiles import SEED_LIMIT

_REMEMBERED_MESSAGES = 500
_MAX_OPTIONS = 25


class Editing:
    """Builds the commands; remembers which messages were right-clicked, since a modal carries no attachments."""

    def __init__(
        self,
        submission: Submission,
        input_images: InputImages,
        gallery: Gallery,
        result_actions: ResultActions,
        database: Database,
    ) -> None:
        self._submission = submission
        self._input_images = input_images
        self._gallery = gallery
        self._result_actions = result_actions
        self._database = database
        self._clicked: OrderedDict[int, discord.Message] = OrderedDict()

    def commands(self) -> list[app_commands.Command[Any, ..., None] | app_commands.ContextMenu]:
        return [self._edit_command(), self._details_command(), self._tree_command(), self._menu()]

    async def find(
        self,
        invocation: InteractionInvocation,
        image: discord.Attachment | None,
        source: str | None,
        which: int | None = None,
    ) -> InputImage:
        """What is meant: the attachment, the named one, else the newest here."""
        if image is not None and source:
            raise Refusal("Give either image or source, not both.")
        if image is not None:
            return self._input_images.attachment(invocation, image)
        if source:
            return await self._input_images.named(invocation, source, which)
        return await self._input_images.newest(invocation)

    async def on_form(self, interaction: discord.Interaction[Any], form: EditForm) -> None:
        """A filled-in modal, sent by this process or by the one before it."""
        input_image = None
        if form.message is not None:
            input_image = await self._right_clicked(interaction, form)
        await self._result_actions.on_form(interaction, form, input_image)

    async def offer(self, interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        """The member's last images, newest first; whatever else is typed is taken for a link."""
        rows = await images.recent_of(self._database, interaction.user.id, interaction.guild_id)
        named = [(f"{ImageSpec.from_json(row.spec).prompt} (seed {row.seed})", row.id) for row in rows]
        wanted = typed.lower()
        return [
            app_commands.Choice(name=cut(name, 100), value=value) for name, value in named if wanted in name.lower()
        ]

    def _edit_command(self) -> app_commands.Command[Any, ..., None]:
        profile = self._submission.profile
        count_range = app_commands.Range[int, 1, self._submission.max_count]
        seed_range = app_commands.Range[int, 0, SEED_LIMIT - 1]
        steps_range = app_commands.Range[int, int(profile.steps.low), int(profile.steps.high)]

        @app_commands.command(name="edit", description="Change a picture: a new one from this one and a text")
        @app_commands.describe(
            prompt="What the picture shows afterwards. Flags work too: --strength 0.5 --seed 7",
            image="The picture to change",
            source="Or one of your own pictures, or a message's link. Neither: your newest picture here",
            mask="A drawing of the same shape: only where it is white is the picture changed",
            strength=f"0.1 keeps nearly everything, 1 nothing; usually {profile.strength:g}",
            fit="How a picture of another shape comes to a size that can be drawn: crop or pad",
            seed="The same seed makes the same change again",
            steps=f"Denoising steps, {profile.steps.low:g} to {profile.steps.high:g}",
            count=f"How many pictures, 1 to {self._submission.max_count}",
            private="Only you see the picture",
        )
        async def edit(
            interaction: discord.Interaction[Any],
            prompt: str,
            image: discord.Attachment | None = None,
            source: str | None = None,
            mask: discord.Attachment | None = None,
            strength: app_commands.Range[float, 0.05, 1.0] | None = None,
            fit: Literal["crop", "pad"] | None = None,
            seed: seed_range | None = None,
            steps: steps_range | None = None,
            count: count_range | None = None,
            private: bool | None = None,  # noqa: FBT001 - an option of the command
        ) -> None:
            invocation = InteractionInvocation(interaction)
            input_image = await self.find(invocation, image, source)
            drawn = self._input_images.attachment(invocation, mask) if mask is not None else None
            options = ImageOptions(prompt, count=count, seed=seed, steps=steps, strength=strength, fit=fit)
            await self._submission.edit(invocation, Edit(options, mask=drawn), input_image, private=private)

        edit.autocomplete("source")(self.offer)
        return edit

    def _details_command(self) -> app_commands.Command[Any, ..., None]:
        @app_commands.command(name="details", description="What a picture was drawn from, read from the file itself")
        @app_commands.describe(image="A PNG that I or another tool made")
        async def details(interaction: discord.Interaction[Any], image: discord.Attachment) -> None:
            await self._gallery.details_of_file(interaction, image)

        return details

    def _tree_command(self) -> app_commands.Command[Any, ..., None]:
        @app_commands.command(name="tree", description="The family of a picture: what it came from, what came from it")
        @app_commands.describe(source="One of your own pictures, or a message's link. Neither: your newest here")
        async def tree(interaction: discord.Interaction[Any], source: str | None = None) -> None:
            invocation = InteractionInvocation(interaction)
            input_image = await self.find(invocation, None, source)
            if input_image.parent_id is None:
                raise Refusal("That is not one of my pictures, so I know no family of it.")
            await self._gallery.tree(interaction, await self._input_images.visible(invocation, input_image.parent_id))

        tree.autocomplete("source")(self.offer)
        return tree

    def _menu(self) -> app_commands.ContextMenu:
        async def edit_image(interaction: discord.Interaction[Any], message: discord.Message) -> None:
            invocation = InteractionInvocation(interaction)
            rows = await images.of_message(self._database, message.id)
            pictures = picture_attachments(message)
            if not pictures:
                raise Refusal("There is no picture in that message.")
            # Whoever may not edit it learns so before typing.
            first = await self._input_images.message(invocation, message, 1)
            self._clicked[message.id] = message
            while len(self._clicked) > _REMEMBERED_MESSAGES:
                self._clicked.popitem(last=False)
            names = [f"seed {row.seed}" for row in rows] or [picture.filename for picture in pictures]
            strength = self._submission.profile.strength if self._submission.profile.editing == "img2img" else None
            target = f"m{message.channel.id}-{message.id}"
            await interaction.response.send_modal(EditModal(target, first.prompt, strength, names[:_MAX_OPTIONS]))

        return app_commands.ContextMenu(name="Edit image", callback=edit_image)

    async def _right_clicked(self, interaction: discord.Interaction[Any], form: EditForm) -> InputImage:
        """The message's picture: as it was when it was clicked, else as Discord shows it to the bot now."""
        assert form.message is not None
        channel_id, message_id = form.message
        invocation = InteractionInvocation(interaction)
        message = self._clicked.get(message_id)
        if message is None or message.channel.id != channel_id:
            return await self._input_images.named(
                invocation, _link(interaction, channel_id, message_id), form.which or 1
            )
        rows = await images.of_message(self._database, message_id)
        count = len(rows) or len(picture_attachments(message))
        return await self._input_images.message(invocation, message, pick(count, form.which or 1) + 1)


def _link(interaction: discord.Interaction[Any], channel_id: int, message_id: int) -> str:
    return f"https://discord.com/channels/{interaction.guild_id or '@me'}/{channel_id}/{message_id}"
