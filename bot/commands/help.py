"""``/help``: an example to copy, the options, how to edit, every command, and what a picture costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.inert import cut, utf16_length
from bot.moderation.limit_texts import NO_MODEL
from bot.requests.models import Models
from bot.requests.option_types import Option
from bot.requests.options import COUNT, NEGATIVE, OPTIONS, PRIVATE, SIZE, STRENGTH_MEANING, fill
from bot.requests.pricing import credits_text, price_rule, usual_work
from bot.views.command_mentions import CommandMentions
from bot.views.text import MESSAGE_LIMIT
from zimage_engine.profiles import ModelProfile

EXAMPLE = "a red circle on a blue background"
"""A prompt that every model can follow, the small demo model too."""

_AnyCommand = app_commands.Command[Any, ..., Any] | app_commands.Group | app_commands.ContextMenu

_LINES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("imagine",), "a picture from a text"),
    (("edit",), "a new picture from a picture and a text"),
    (("tree",), "what a picture came from, and what came from it"),
    (("queue",), "what you have asked for, to cancel"),
    (("cancel",), "cancel a picture"),
    (("details",), "what a picture file was made from"),
    (("quota",), "what you have left"),
    (("usage",), "what you have used"),
    (("settings",), "your defaults"),
    (("privacy info", "privacy export", "privacy delete"), "what I keep about you"),
    (("ping",), "how busy I am"),
    (("help",), "this message"),
    (("admin setup",), "set up this server"),
    (("Limits",), "use and limits of a member"),
    (("Moderate",), "who asked for a picture; delete it, block them"),
)
"""The commands in the order of ``/help``, and what the line says of each. Of a group several may share the line.

A command that is not here comes after these, with its own description.
"""

_EDIT_MENU = "Edit image"
_COMMANDS = "**Commands**"


def help_text(
    models: Models,
    max_count: int,
    command_lines: Sequence[str] = (),
    *,
    me: str = "@me",
    private: bool = True,
    allowed: Sequence[str] | None = None,
) -> str:
    """Return the text of ``/help`` for a member's models.

    ``max_count`` is how many pictures one command may ask for, ``me`` a mention of the bot, ``private`` whether
    private pictures are allowed, ``allowed`` the names of the models that the member may use, None for all.
    """
    profile = models.usual
    names = models.names if allowed is None else allowed
    # Examples are of what the member may use; prices stay those of the bot's default model.
    usable = Models(_allowed_ones(models, names), profile)
    lines = [
        *([] if names else [f"**{NO_MODEL}**"]),
        f"```\n/imagine prompt:{EXAMPLE}\n```",
        f"Copy that line to try it. **{profile.title}** takes English and Chinese.",
        *_models_lines(models, names),
        *_options_lines(usable, max_count, private=private),
        *editing_lines(profile, me),
    ]
    if command_lines:
        lines += [_COMMANDS, *command_lines]
    if not usable.offer(NEGATIVE, max_count):
        lines.append("-# This model takes no negative prompt: say what you want to see instead.")
    same = "prompt, model" if len(names) > 1 else "prompt"
    lines.append(f"-# The same {same}, seed, size and steps give the same picture again.")
    lines.append(f"-# {price_rule(models)}")
    return "\n".join(lines)


def edit_example(profile: ModelProfile) -> str:
    """Return a prompt of an edit: an instruction if the model takes them, else what the picture shows afterwards."""
    return "make it night" if profile.editing == "instruction" else "a lighthouse at night"


def in_messages(text: str) -> list[str]:
    """Return the text as one message, or as two if it is too long: who administers much has many commands."""
    if utf16_length(text) <= MESSAGE_LIMIT:
        return [text]
    before, _, after = text.partition(f"\n{_COMMANDS}\n")
    return [before, cut(f"{_COMMANDS}\n{after}", MESSAGE_LIMIT)]


def editing_lines(profile: ModelProfile, me: str) -> list[str]:
    """Return the ways to edit a picture, one a line.

    They do not name ``/edit`` as a reply: a Discord client makes the command of it, which does not know of the reply.
    """
    if profile.editing == "none":
        return [f"{profile.title} cannot change pictures."]
    instruction, example = profile.editing == "instruction", edit_example(profile)
    says = "say what to change" if instruction else "say what the picture shows afterwards"
    lines = [
        f"**Change a picture**: {says}",
        f"- reply to it: `edit: {example}`",
        f"- reply to it and mention me: {me} `{example}`",
        f"- right-click it (hold, on a phone) → Apps → **{_EDIT_MENU}**",
        "- press a button under it",
    ]
    if not instruction:
        lines.insert(2, "- reply to it: `edit: + at night` adds to its own prompt")
        lines.append(f"`--strength {profile.strength:g}`: {STRENGTH_MEANING}")
    return lines


def command_lines(
    known: Iterable[_AnyCommand], mentions: CommandMentions, permissions: discord.Permissions, *, direct: bool
) -> list[str]:
    """Return a line for each command that a member with these permissions may use, in servers or ``direct``."""
    usable = {command.name: command for command in known if _may_use(command, permissions, direct=direct)}
    lines = []
    for names, says in _LINES:
        command = usable.pop(names[0].partition(" ")[0], None)
        if command is not None:
            lines.append(_line(command, says, mentions, names))
    usable.pop(_EDIT_MENU, None)  # it stands among the ways to edit
    return lines + [_line(command, "", mentions) for command in usable.values()]


def _line(command: _AnyCommand, says: str, mentions: CommandMentions, names: Sequence[str] = ()) -> str:
    """Return a command's line. ``says`` is empty for the command's own description, which context menus don't have."""
    if isinstance(command, app_commands.ContextMenu):
        what = "a member" if command.type is discord.AppCommandType.user else "a message"
        return f"Right-click {what} → Apps → **{command.name}**" + (f": {says}" if says else "")
    leaves = [command.qualified_name]
    if isinstance(command, app_commands.Group):
        leaves = [each.qualified_name for each in command.walk_commands() if isinstance(each, app_commands.Command)]
    shown = [name for name in names if name in leaves] or leaves[:1]
    return f"{' '.join(mentions.of(name) for name in shown)}: {says or command.description}"


def _may_use(command: _AnyCommand, permissions: discord.Permissions, *, direct: bool) -> bool:
    if direct and command.guild_only:
        return False
    needed = command.default_permissions
    return needed is None or needed.is_subset(permissions)


def _models_lines(models: Models, allowed: Sequence[str]) -> list[str]:
    """Return what each model is for and what a picture of it costs, one a line; nothing if there is no choice."""
    if len(allowed) < 2:
        return []
    lines = ["**Models**: the option `model`, or `--model` in the prompt"]
    for profile in _allowed_ones(models, allowed):
        price = credits_text(usual_work(profile).price(profile, models.default))
        usual = ", if you name none" if profile == models.usual else ""
        lines.append(f"- `{profile.name}`, {profile.title}: {profile.purpose}; {price}{usual}")
    return lines


def _options_lines(models: Models, max_count: int, *, private: bool) -> list[str]:
    """Return the options by name, then as flags: those of the usual model, then those that other models take alone."""
    profile = models.usual
    left_out = {COUNT.name} if max_count == 1 else set()
    if not private:
        left_out.add(PRIVATE.name)
    if "large" not in profile.scales:
        left_out.add(SIZE.name)
    options = [option for option in OPTIONS if option.name not in left_out or option is SIZE]
    names = [fill(option.help, profile, max_count) for option in options if option.help]
    examples = sorted(
        (option for option in options if option.help_flag),
        key=lambda option: option.offered is not None or option.help_flag_if is not None,
    )
    flags: dict[str, list[str]] = {}
    for option in examples:
        shown = _shown_for(option, models, max_count)
        if shown is not None and option.name not in left_out:
            flags.setdefault(shown.name, []).append(f"`{fill(option.help_flag, shown, max_count)}`")
    usual = " ".join(flags.pop(profile.name, []))
    others = [f", with `{name}` also {' '.join(texts)}" for name, texts in flags.items()]
    return [f"**Options**: {', '.join(names)}", f"**The same in the prompt**: {usual}{''.join(others)}"]


def _shown_for(option: Option[Any], models: Models, max_count: int) -> ModelProfile | None:
    """Return the model for which the example of an option's flag is shown: the usual one, else any; None for none."""
    profiles = (models.usual, *models.profiles)
    return next((profile for profile in profiles if option.example_fits(profile, max_count)), None)


def _for_member(models: Models, pixels: int | None) -> Models:
    """Return the models with the sizes that a member may ask for."""
    profiles = tuple(_within(profile, pixels) for profile in models.profiles)
    return Models(profiles, next(profile for profile in profiles if profile.name == models.usual.name))


def _allowed_ones(models: Models, allowed: Sequence[str]) -> tuple[ModelProfile, ...]:
    """Return the models that a member may use; the usual one if there are none."""
    return tuple(profile for profile in models.profiles if profile.name in allowed) or (models.usual,)


def _within(profile: ModelProfile, pixels: int | None) -> ModelProfile:
    """Return the profile with only those named sizes that have at most so many pixels; None: no limit."""
    square = Fraction(1)
    scales = {
        name: scale
        for name, scale in profile.scales.items()
        if pixels is None or profile.size_for(square, name).pixels <= pixels
    }
    return replace(profile, scales=scales or profile.scales)


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/help``."""
    submission = parts.submission

    @bot.tree.command(name="help", description="What I can do, with an example to copy")
    async def show_help(interaction: discord.Interaction[Any]) -> None:
        requester = InteractionInvocation(interaction).requester
        limits = (await parts.jobs.admission.quota_state(requester)).limits
        known = list(bot.tree.get_commands())
        if requester.guild_id is not None and interaction.user.id in parts.settings.bot_owner_ids:
            known += bot.tree.get_commands(guild=discord.Object(requester.guild_id))
        models = await submission.chosen.models_for(InteractionInvocation(interaction))
        private = await parts.jobs.admission.allows_private(requester.guild_id)
        text = help_text(
            _for_member(models, limits["max_pixels"].value),
            min(submission.max_count, limits["max_count"].value or submission.max_count),
            command_lines(known, parts.mentions, interaction.permissions, direct=interaction.guild_id is None),
            me=bot.user.mention if bot.user is not None else "@me",
            private=private,
            allowed=await parts.jobs.admission.allowed_models(requester),
        )
        first, *others = in_messages(text)
        await interaction.response.send_message(first, ephemeral=True, suppress_embeds=True)
        for other in others:
            await interaction.followup.send(other, ephemeral=True, suppress_embeds=True)
