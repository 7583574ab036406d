"""``/settings``: a member's own defaults for the options that they leave out."""

# No `from __future__ import annotations` here: discord.py reads the annotations,

from functools import partial
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.chosen_options import ChosenOptions
from bot.commands.invocation import InteractionInvocation
from bot.commands.option_parameters import model_choices, with_options
from bot.commands.parts import BotParts
from bot.moderation.limit_texts import NO_MODEL
from bot.requests.member_settings import member_settings_text, read_member_settings, write_member_settings
from bot.requests.options import MemberSettings
from bot.store.database import Database
from bot.store.member_settings import delete_values
from zimage_engine.profiles import ASPECTS

_ORDER = ("model", "aspect", "size", "count", "private")


def settings_command(database: Database, chosen: ChosenOptions, max_count: int) -> app_commands.Command[Any, ..., None]:
    """Return the ``/settings`` command for the bot's models."""
    models = chosen.models

    async def settings(interaction: discord.Interaction[Any], *, reset: bool = False, **given: Any) -> None:
        member = interaction.user.id
        wanted = MemberSettings(**given)
        if reset:
            await database.write(partial(delete_values, member_id=member))
        if wanted != MemberSettings():
            await database.write(partial(write_member_settings, member_id=member, member_settings=wanted))
        invocation = InteractionInvocation(interaction)
        text = member_settings_text(await read_member_settings(database, member), await chosen.models_for(invocation))
        if not await chosen.admission.allowed_models(invocation.requester):
            text = f"**{NO_MODEL}**\n{text}"
        await interaction.response.send_message(text, ephemeral=True)

    callback = with_options(settings, "settings", models, max_count, _ORDER)
    callback = app_commands.describe(
        **models.options_in("settings", max_count),
        reset="True: remove all your defaults",
    )(callback)
    sizes = dict.fromkeys(name for profile in models.profiles for name in profile.scales)
    callback = app_commands.choices(
        aspect=[app_commands.Choice(name=aspect, value=aspect) for aspect in ASPECTS],
        size=[app_commands.Choice(name=name, value=name) for name in sizes],
        **model_choices(models),
    )(callback)
    return app_commands.command(name="settings", description="Your own defaults, for what you leave out")(callback)


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/settings``."""
    bot.tree.add_command(settings_command(parts.database, parts.submission.chosen, parts.submission.max_count))
