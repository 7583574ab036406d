"""The message of ``/admin setup``: what an admin decides first, each with its control."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import discord

from bot.moderation.limit_texts import format_value
from bot.views.base import SafeDynamicItem, SafeModal, SafeView
from bot.views.ids import ids_in
from bot.views.parts import parts_of

ChannelChoice = Literal["channels", "log_channel"]
Switch = Literal["spoiler", "private_pictures"]

CHANNELS_MAX = 25
"""The most channels that one of Discord's selects takes."""
_SHOWN = 10
_PLACES = [
    discord.ChannelType.text,
    discord.ChannelType.news,
    discord.ChannelType.voice,
    discord.ChannelType.stage_voice,
    discord.ChannelType.forum,
    discord.ChannelType.category,
]

_SWITCH_LABELS: dict[tuple[Switch, str], str] = {
    ("spoiler", "on"): "Hide pictures until a click",
    ("spoiler", "off"): "Show pictures at once",
    ("private_pictures", "on"): "Allow private pictures",
    ("private_pictures", "off"): "Forbid private pictures",
}


@dataclass(frozen=True, slots=True)
class SetupState:
    """What holds in a server.

    ``credits`` are in 1/100, None if unlimited; they are the bot's default if not ``credits_set``.

    ``allowed`` are the channels where the bot may be used, empty for all; ``rules_elsewhere`` is True if there are
    rules besides those, such as channels where it may not be used.
    """

    credits: int | None
    credits_set: bool
    allowed: tuple[int, ...]
    rules_elsewhere: bool
    log_channel: int | None
    spoiler: bool
    private_pictures: bool


def setup_text(state: SetupState, mention: Callable[[str], str]) -> str:
    """Return the text; ``mention`` returns a command as a clickable mention."""
    credit = format_value("credits_per_day", state.credits)
    origin = "" if state.credits_set else " (my default)"
    log = f"<#{state.log_channel}>" if state.log_channel is not None else "none"
    spoiler = "hidden until somebody clicks" if state.spoiler else "shown at once"
    private = "allowed: members may ask for pictures that they alone see" if state.private_pictures else "not allowed"
    return "\n".join(
        [
            "**Set up this server.** Each change counts at once; only you see this message.",
            f"**Credits a day** for each member: {credit}{origin}",
            f"**Channels** where I may be used: {_places(state, mention)}",
            f"**Log channel**, with a line for each change: {log}",
            f"**Pictures** are {spoiler}",
            f"**Private pictures** are {private}",
            f"-# More: {mention('admin settings')} {mention('admin limits set')} {mention('admin words add')}",
        ]
    )


def setup_view(state: SetupState) -> discord.ui.View:
    """Return the controls, which show what holds."""
    view = SafeView(timeout=None)
    if len(state.allowed) <= CHANNELS_MAX:
        view.add_item(SetupChannels("channels", state.allowed))
    view.add_item(SetupChannels("log_channel", () if state.log_channel is None else (state.log_channel,)))
    view.add_item(SetupCredits())
    view.add_item(SetupSwitch("spoiler", "off" if state.spoiler else "on"))
    view.add_item(SetupSwitch("private_pictures", "off" if state.private_pictures else "on"))
    return view


def _places(state: SetupState, mention: Callable[[str], str]) -> str:
    if not state.allowed:
        where = "all"
    else:
        shown = ", ".join(f"<#{channel_id}>" for channel_id in state.allowed[:_SHOWN])
        more = len(state.allowed) - _SHOWN
        where = f"{shown} and {more} more" if more > 0 else shown
    return f"{where}; other rules: {mention('admin channels list')}" if state.rules_elsewhere else where


class SetupChannels(
    SafeDynamicItem[discord.ui.ChannelSelect[Any]], template=r"zib:setup-(?P<what>channels|log_channel):s\Z"
):
    """Chooses where the bot may be used, or where it writes a line for each change; none takes the choice away."""

    def __init__(self, what: ChannelChoice, chosen: tuple[int, ...] = ()) -> None:
        self.what: ChannelChoice = what
        several = what == "channels"
        select: discord.ui.ChannelSelect[Any] = discord.ui.ChannelSelect(
            custom_id=f"zib:setup-{what}:s",
            placeholder="Channels where I may be used (none: all)" if several else "Log channel (none: no log)",
            channel_types=_PLACES if several else [discord.ChannelType.text],
            min_values=0,
            max_values=CHANNELS_MAX if several else 1,
            default_values=[
                discord.SelectDefaultValue(id=channel_id, type=discord.SelectDefaultValueType.channel)
                for channel_id in chosen
            ],
        )
        super().__init__(select)

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        data: Any = interaction.data
        chosen = tuple(ids_in(data["values"]))
        await parts_of(interaction).setup.on_channels(interaction, self.what, chosen)


class SetupSwitch(
    SafeDynamicItem[discord.ui.Button[Any]],
    template=r"zib:setup-(?P<what>spoiler|private_pictures):(?P<value>on|off)\Z",
):
    """Sets a setting to the value that the button says, which a second press does not take back."""

    def __init__(self, what: Switch, value: str) -> None:
        self.what: Switch = what
        self.value = value
        super().__init__(discord.ui.Button(label=_SWITCH_LABELS[what, value], custom_id=f"zib:setup-{what}:{value}"))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).setup.on_switch(interaction, self.what, self.value)


class SetupCredits(SafeDynamicItem[discord.ui.Button[Any]], template=r"zib:setup-credits:ask\Z"):
    """Asks for the credits a day."""

    def __init__(self) -> None:
        super().__init__(
            discord.ui.Button(
                label="Credits a day", style=discord.ButtonStyle.primary, custom_id="zib:setup-credits:ask"
            )
        )

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).setup.on_credits(interaction)


class CreditsModal(SafeModal):
    """Asks for the credits that each member has a day. ``submit`` is called with what was typed."""

    def __init__(self, now: str, submit: Callable[[discord.Interaction[Any], str], Awaitable[None]]) -> None:
        super().__init__(title="Credits a day")
        self._submit = submit
        self._value: discord.ui.TextInput[Any] = discord.ui.TextInput(
            default=now, max_length=20, required=False, custom_id="credits"
        )
        self.add_item(
            discord.ui.Label(
                text="Credits a day for each member",
                description="A number, or unlimited. Empty: my default. 1 is one picture at the usual size and steps.",
                component=self._value,
            )
        )

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        await self._submit(interaction, self._value.value.strip())
