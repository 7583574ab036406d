"""Whether the bot may post in the channel is checked before a job is accepted, by every way of asking."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import discord
import pytest

from bot.playground.faulty_discord import DiscordFaults
from bot.playground.world import World
from tests.helpers.admins import admin_of, told
from tests.helpers.buttons import button_labels
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo, rows

REFUSED = (
    "I may not post pictures in this channel: I lack Attach Files. An admin can allow it in the channel's settings"
)

Way = Callable[[World, discord.Message], Awaitable[Any]]


def lost(world: World, *permissions: str, channel: Any = None) -> AbstractContextManager[None]:
    """Deny the bot permissions in a channel, by default the world's."""
    return DiscordFaults(replace(world, channel=channel or world.channel)).permission_lost(*permissions)


async def count_jobs(world: World) -> int:
    return len(await rows(world, "SELECT id FROM jobs"))


async def imagine(world: World, posted: discord.Message) -> Any:
    del posted
    return await world.member.slash(world.channel, "imagine", prompt=CHANGED)


async def edit(world: World, posted: discord.Message) -> Any:
    del posted
    return await world.member.slash(world.channel, "edit", prompt=CHANGED)


async def edit_button(world: World, posted: discord.Message) -> Any:
    shown = await world.member.click(posted, label="Edit")
    return await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": ""})


async def again_button(world: World, posted: discord.Message) -> Any:
    return await world.member.click(posted, label="Again")


async def upscale_button(world: World, posted: discord.Message) -> Any:
    return await world.member.click(posted, label="Upscale")


async def context_menu(world: World, posted: discord.Message) -> Any:
    shown = await world.member.context_menu(world.channel, "Edit image", posted)
    return await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0.9"})


@pytest.mark.parametrize("way", [imagine, edit, edit_button, again_button, upscale_button, context_menu])
async def test_an_interaction_is_refused_privately_with_the_prompt(world: World, way: Way) -> None:
    posted = await drawn(world)
    with lost(world, "attach_files"):
        answered = await way(world, posted)
        assert answered.ephemeral
        assert answered.response.content.startswith(REFUSED)
        assert "ask with private:True, or in another channel." in answered.response.content
        prompt = PROMPT if way in (again_button, upscale_button) else CHANGED
        repeated = answered.response.content.splitlines()[-1]
        assert repeated.startswith(f"``{prompt}")
        assert repeated.endswith("``")
        assert button_labels(answered.response) == ["Edit request"]
        assert await count_jobs(world) == 1
    assert world.env.errors is not None


@pytest.fixture(autouse=True)
def _soon_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals to messages remove themselves; a test need not wait as long as people need to read them."""
    monkeypatch.setattr("bot.views.card_messages.SHORT_LIVED_SECONDS", 0.5)


@pytest.mark.parametrize("way", ["reply", "mention"])
async def test_a_message_is_refused_directly_where_the_bot_may_not_write(world: World, way: str) -> None:
    posted = await drawn(world)
    with lost(world, "send_messages", "attach_files"):
        if way == "reply":
            await world.member.send(world.channel, f"edit: {CHANGED}", reply_to=posted)
        else:
            mention = f"<@{world.env.bot.user.id}>"
            await world.member.send(world.channel, f"{mention} {CHANGED}", attachments=[("p.png", photo())])
        (said,) = world.member.user.dm_channel.history()
        assert said.content.startswith(
            "I may not post pictures in this channel: I lack Send Messages and Attach Files."
        )
        assert said.content.endswith(f"Until then, ask in another channel.\n``{CHANGED}``")
        assert await count_jobs(world) == 1


async def test_a_confirmed_job_is_checked_again(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=4, steps=9)
    question = newest(world)
    with lost(world, "attach_files"):
        refused = await world.member.click(question, label="Generate")
        assert refused.response.content.startswith(REFUSED)
        assert await count_jobs(world) == 0
    assert world.env.errors is not None


async def test_a_private_picture_can_be_asked_for_all_the_same(world: World) -> None:
    with lost(world, "send_messages", "attach_files"):
        answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True)
        assert answered.response.attachments


async def test_a_thread_needs_permissions_of_its_own(world: World) -> None:
    channel = world.env.bot.get_channel(world.channel.id)
    await channel.create_thread(name="side", type=discord.ChannelType.public_thread)
    (side,) = world.channel.threads
    with lost(world, "send_messages"):
        await world.member.slash(side, "imagine", prompt=PROMPT)
        assert side.history()[-1].attachments
    with lost(world, "send_messages_in_threads"):
        refused = await world.member.slash(side, "imagine", prompt=PROMPT)
        assert "I lack Send Messages in Threads. " in refused.response.content
    assert world.env.errors is not None


async def test_a_voice_text_channel_needs_connect(world: World) -> None:
    voice = world.channel.guild.create_voice_channel("voice")
    await world.member.slash(voice, "imagine", prompt=PROMPT)
    assert voice.history()[-1].attachments
    with lost(world, "connect", channel=voice):
        refused = await world.member.slash(voice, "imagine", prompt=PROMPT)
        assert "I lack Connect. " in refused.response.content
    assert world.env.errors is not None


async def test_where_admins_name_other_channels_those_are_told(world: World) -> None:
    other = world.channel.guild.create_text_channel("art")
    await told(world, admin_of(world), "admin channels allow", channel=other)
    with lost(world, "attach_files"):
        refused = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
        assert refused.response.content == f"I may not be used in this channel. Ask me in <#{other.id}>.\n``{PROMPT}``"
    assert world.env.errors is not None


async def test_a_refusal_with_a_long_prompt_fits(world: World) -> None:
    with lost(world, "attach_files"):
        refused = await world.member.slash(world.channel, "imagine", prompt="a red circle, " * 280)
        assert refused.response.content.startswith(REFUSED)
        assert len(refused.response.content) <= 2000
    assert world.env.errors is not None
