"""``/usage`` on a simulated Discord: a member's own usage, here and in all places."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from bot.commands import usage as usage_command
from bot.commands.admin import usage as admin_usage
from bot.playground.world import World
from tests.helpers.admins import admin_of
from tests.helpers.pictures import drawn
from tests.helpers.usage import add_usage, usage_answer, usage_chart, usage_figures


async def test_a_member_sees_their_own_here_and_what_they_used_everywhere(world: World) -> None:
    here, mira, channel = world.channel.guild.id, world.member.id, world.channel.id
    await add_usage(
        world,
        (here, 0, mira, channel, "imagine", 2, 3, 250, 4200),
        (here, 2, mira, channel, "edit", 1, 1, 100, 800),
        (here, 0, 77, channel, "imagine", 9, 9, 99_900, 99),
    )
    message = await usage_answer(world, world.member, "usage")
    assert "**3.5 credits** · 3 requests · 4 pictures · 5 s on the device" in message.content
    assert "everywhere" not in message.content
    assert "Across all" not in message.content
    assert (await usage_chart(message)).width == 1800
    await add_usage(world, (0, 1, mira, 5, "imagine", 1, 1, 50, 1000))
    message = await usage_answer(world, world.member, "usage", period="30 days")
    assert "**3.5 credits**" in message.content
    assert message.content.endswith(
        "-# Across all servers and DMs: 4 credits · 4 requests · 5 pictures · 6 s on the device."
    )


async def test_in_direct_messages_it_is_what_was_used_there(world: World) -> None:
    here, mira = world.channel.guild.id, world.member.id
    await add_usage(world, (here, 0, mira, 4, "imagine", 1, 1, 100, 0), (0, 0, mira, 5, "imagine", 1, 1, 50, 1000))
    await world.member.user.slash("usage")
    message = world.member.user.dm_channel.history(viewer=world.member)[-1]
    assert "**Your usage in direct messages**" in message.content
    assert "**0.5 credits** · 1 request · 1 picture · 1 s on the device" in message.content
    assert "Across all servers and DMs: 1.5 credits" in message.content


async def test_charts_have_a_pause_and_a_thread_of_their_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here, admin = world.channel.guild.id, admin_of(world)
    await add_usage(
        world, *((here, 0, who.id, world.channel.id, "imagine", 1, 1, 100, 0) for who in (world.member, admin))
    )
    threads: list[str] = []

    def noting(draw: Callable[..., bytes]) -> Callable[..., bytes]:
        def noted(*arguments: Any) -> bytes:
            threads.append(threading.current_thread().name)
            return draw(*arguments)

        return noted

    monkeypatch.setattr(usage_command, "member_chart", noting(usage_command.member_chart))
    monkeypatch.setattr(admin_usage, "report_chart", noting(admin_usage.report_chart))
    for command in ("usage", "admin usage"):
        assert (await usage_answer(world, admin, command)).attachments
        for too_soon in ("usage", "admin usage"):
            await admin.slash(world.channel, too_soon)
            assert world.channel.history(viewer=admin)[-1].content == "One moment: ask again in two seconds."
    assert (await usage_answer(world, world.member, "usage")).attachments
    assert threads == ["charts_0"] * 3
    assert len(world.env.errors) == 4


async def test_a_picture_that_was_drawn_is_in_the_report(world: World) -> None:
    await drawn(world, steps=8)
    message = await usage_answer(world, world.member, "usage", period="today")
    assert "**1 credit** · 1 request · 1 picture" in message.content
    rows = usage_figures(await usage_answer(world, admin_of(world), "admin usage", by="user", period="today"))
    assert rows[f"<@{world.member.id}>"][:3] == ["1.00", "1", "1"]
