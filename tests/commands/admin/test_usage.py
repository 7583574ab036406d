"""``/usage`` and ``/admin usage`` on a simulated Discord: what is told, to whom, and of which server."""

from __future__ import annotations

import csv
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO, StringIO
from typing import Any

import discord
import pytest
from PIL import Image

from bot.commands import usage as usage_command
from bot.commands.admin import usage as admin_usage
from bot.playground.world import World
from bot.store import accounts
from bot.store.accounts import DAY, account_of
from tests.helpers.pictures import drawn

Row = tuple[int, int, int, int, str, int, int, int, int]
"""Scope, days ago, member, channel, kind, jobs, images, credits, device milliseconds."""


def write_rows(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    today = int(time.time()) // DAY
    for scope, ago, member, *rest in rows:
        account = account_of(connection, member)
        connection.execute(
            "INSERT INTO usage_days VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (scope, today - ago, account, *rest)
        )


async def used(world: World, *rows: Row) -> None:
    await world.env.bot.database.write(partial(write_rows, rows=rows))


def admin_of(world: World, guild: Any = None) -> Any:
    guild = guild or world.channel.guild
    boss = guild.create_role("boss", permissions=discord.Permissions(manage_guild=True))
    return guild.add_member(world.env.create_user(f"ada{guild.id}"), roles=[boss])


async def told(world: World, who: Any, command: str, channel: Any = None, **options: Any) -> discord.Message:
    """The answer, which nobody else sees."""
    channel = channel or world.channel
    await world.env.advance_time(3)  # charts have a pause
    await who.slash(channel, command, **options)
    message = channel.history(viewer=who)[-1]
    assert message.flags.ephemeral
    assert not message.embeds
    return message


def figures(message: discord.Message) -> dict[str, list[str]]:
    """The table: figures by who or what they are of."""
    lines = [re.fullmatch(r"`(.+?)` (.+)", line) for line in message.content.splitlines()]
    rows = {line[2]: re.split("\u00a0{2,}", line[1].strip()) for line in lines if line}
    return {name: [figure.replace("\u00a0", " ") for figure in row] for name, row in rows.items()}


async def chart(message: discord.Message) -> Image.Image:
    picture = Image.open(BytesIO(await message.attachments[0].read()))
    assert picture.format == "PNG"
    assert message.attachments[0].filename == "usage.png"
    assert message.attachments[0].description
    return picture


async def sheet(message: discord.Message) -> list[dict[str, str]]:
    data = await message.attachments[1].read()
    return list(csv.DictReader(StringIO(data.decode("utf-8-sig"), newline="")))


async def test_an_admin_sees_what_was_used_by_day(world: World) -> None:
    here, mira, channel = world.channel.guild.id, world.member.id, world.channel.id
    await used(
        world,
        (here, 0, mira, channel, "imagine", 2, 3, 250, 4200),
        (here, 0, 77, channel, "edit", 1, 1, 5, 1000),
        (here, 29, mira, channel, "imagine", 1000, 1000, 123_400, 3_600_000),
        (here, 30, mira, channel, "imagine", 1, 1, 100, 100),
    )
    message = await told(world, admin_of(world), "admin usage")
    assert "**1,236.55 credits** · 1,003 jobs · 1,004 images · 1 h 0 min on the device" in message.content
    rows = list(figures(message).values())
    assert rows == [["2.55", "3", "4", "5.2 s"], ["1,234.00", "1,000", "1,000", "1 h 0 min"]], "the newest day first"
    assert (await chart(message)).size == (1800, 900)
    assert len(message.attachments) == 1


async def test_by_member_with_mentions_the_rest_summed_and_forgotten_ones_together(world: World) -> None:
    here, channel = world.channel.guild.id, world.channel.id
    await used(
        world,
        (here, 1, world.member.id, channel, "imagine", 5, 6, 90_000, 60_000),
        (here, 1, 50, channel, "imagine", 9, 9, 80_000, 10),
        (here, 1, 51, channel, "imagine", 9, 9, 5_000, 10),
        *((here, 1, 100 + number, channel, "vary", 1, 2, 100 + number, 500) for number in range(12)),
    )

    def forget(connection: sqlite3.Connection) -> None:
        for member in (50, 51):
            accounts.close_account(connection, member, 0)
        accounts.unlink_closed(connection, DAY)

    await world.env.bot.database.write(forget)
    message = await told(world, admin_of(world), "admin usage", by="user")
    rows = figures(message)
    assert list(rows)[:3] == [f"<@{world.member.id}>", "former members", "<@111>"]
    assert rows["former members"] == ["850.00", "18", "18", "0 s"]
    assert rows["4 others"] == ["4.06", "4", "8", "2 s"]
    assert len(rows) == 11
    await chart(message)


async def test_by_channel_and_by_kind(world: World) -> None:
    here, mira = world.channel.guild.id, world.member.id
    await used(
        world,
        (here, 1, mira, world.channel.id, "imagine", 1, 1, 100, 0),
        (here, 1, mira, world.channel.id, "edit", 1, 1, 250, 0),
        (here, 1, mira, 4321, "edit", 1, 1, 700, 0),
    )
    admin = admin_of(world)
    assert list(figures(await told(world, admin, "admin usage", by="channel"))) == ["<#4321>", f"<#{world.channel.id}>"]
    rows = figures(await told(world, admin, "admin usage", by="kind"))
    assert {kind: row[0] for kind, row in rows.items()} == {"edit": "9.50", "imagine": "1.00"}


async def test_of_one_person_and_of_a_shorter_time(world: World) -> None:
    here, mira, channel = world.channel.guild.id, world.member.id, world.channel.id
    await used(
        world,
        (here, 0, mira, channel, "imagine", 1, 1, 100, 0),
        (here, 6, mira, channel, "imagine", 1, 1, 200, 0),
        (here, 7, mira, channel, "imagine", 1, 1, 400, 0),
        (here, 0, 77, channel, "imagine", 1, 1, 800, 0),
    )
    admin = admin_of(world)
    for period, credit in (("today", "1"), ("7 days", "3"), ("90 days", "7")):
        message = await told(world, admin, "admin usage", period=period, member=world.member)
        assert f"**Usage of <@{mira}> in this server**" in message.content
        assert f"**{credit} credit" in message.content
        await chart(message)
    assert "**9 credits**" in (await told(world, admin, "admin usage", period="today")).content


async def test_the_export_has_every_row_and_no_formulas(world: World) -> None:
    guild, channel = world.channel.guild, world.channel.id
    crook = guild.add_member(world.env.create_user("crook"), nick="=HYPERLINK(1)")
    await used(
        world,
        (guild.id, 1, crook.id, channel, "imagine", 5, 6, 90_005, 60_001),
        *((guild.id, 1, 100 + number, channel, "vary", 1, 2, 100, 500) for number in range(30)),
    )
    message = await told(world, admin_of(world), "admin usage", by="user", export=True)
    assert message.attachments[1].filename == "usage-30-days-by-user.csv"
    rows = await sheet(message)
    assert rows[0] == {
        "member": f"<@{crook.id}>",
        "name": "'=HYPERLINK(1)",
        "credits": "900.05",
        "jobs": "5",
        "images": "6",
        "device_seconds": "60.001",
    }
    assert [row["name"] for row in rows[1:]] == [""] * 30, "who is not in the server has no name"
    assert sum(int(row["jobs"]) for row in rows) == 35
    days = await sheet(await told(world, admin_of(world), "admin usage", by="day", export=True))
    assert [sorted(row) for row in days] == [["credits", "day", "device_seconds", "images", "jobs"]]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", days[0]["day"])


async def test_nothing_used_is_one_sentence_without_a_chart(world: World) -> None:
    admin = admin_of(world)
    message = await told(world, admin, "admin usage", period="7 days")
    assert (message.content, message.attachments) == ("Nobody has used me in this server in the last 7 days.", [])
    message = await told(world, admin, "admin usage", period="today", member=world.member)
    assert message.content == f"<@{world.member.id}> has not used me in this server today."
    message = await told(world, world.member, "usage")
    assert (message.content, message.attachments) == (
        "You have not used me in this server in the last 7 days.",
        [],
    )


async def test_another_server_s_usage_is_not_to_be_seen(world: World) -> None:
    """By its admin, its members, the same person's id, or the other server's channel."""
    other = world.env.create_guild(name="Elsewhere")
    place = other.create_text_channel("theirs")
    await used(
        world,
        (world.channel.guild.id, 0, world.member.id, world.channel.id, "imagine", 1, 1, 100, 0),
        (other.id, 0, world.member.id, place.id, "imagine", 3, 3, 4200, 0),
        (0, 0, world.member.id, 5, "imagine", 7, 7, 77_700, 0),
    )
    ours, theirs = admin_of(world), admin_of(world, other)
    for by in ("day", "user", "channel", "kind"):
        for extra in ({}, {"member": world.member}):
            here = await told(world, ours, "admin usage", by=by, export=True, **extra)
            assert "**1 credit**" in here.content
            assert [row["credits"] for row in await sheet(here)] == ["1.00"]
            assert str(place.id) not in here.content
        there = await told(world, theirs, "admin usage", place, by=by)
        assert "**42 credits**" in there.content
    stranger = other.add_member(world.env.create_user("stranger"))
    assert "You have not used me" in (await told(world, stranger, "usage", place)).content


async def test_members_may_not_ask_for_the_server_s(world: World) -> None:
    with pytest.raises(Exception, match=r"(?i)permission"):
        await world.member.slash(world.channel, "admin usage")


async def test_a_member_sees_their_own_here_and_what_they_used_everywhere(world: World) -> None:
    here, mira, channel = world.channel.guild.id, world.member.id, world.channel.id
    await used(
        world,
        (here, 0, mira, channel, "imagine", 2, 3, 250, 4200),
        (here, 2, mira, channel, "edit", 1, 1, 100, 800),
        (here, 0, 77, channel, "imagine", 9, 9, 99_900, 99),
    )
    message = await told(world, world.member, "usage")
    assert "**3.5 credits** · 3 jobs · 4 images · 5 s on the device" in message.content
    assert "everywhere" not in message.content
    assert "all places" not in message.content
    assert (await chart(message)).width == 1800
    await used(world, (0, 1, mira, 5, "imagine", 1, 1, 50, 1000))
    message = await told(world, world.member, "usage", period="30 days")
    assert "**3.5 credits**" in message.content
    assert message.content.endswith("-# In all places together: 4 credits · 4 jobs · 5 images · 6 s on the device.")


async def test_in_direct_messages_it_is_what_was_used_there(world: World) -> None:
    here, mira = world.channel.guild.id, world.member.id
    await used(world, (here, 0, mira, 4, "imagine", 1, 1, 100, 0), (0, 0, mira, 5, "imagine", 1, 1, 50, 1000))
    await world.member.user.slash("usage")
    message = world.member.user.dm_channel.history(viewer=world.member)[-1]
    assert "**Your usage in direct messages**" in message.content
    assert "**0.5 credits** · 1 job · 1 image · 1 s on the device" in message.content
    assert "In all places together: 1.5 credits" in message.content


async def test_charts_have_a_pause_and_a_thread_of_their_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here, admin = world.channel.guild.id, admin_of(world)
    await used(world, *((here, 0, who.id, world.channel.id, "imagine", 1, 1, 100, 0) for who in (world.member, admin)))
    threads: list[str] = []

    def noting(draw: Callable[..., bytes]) -> Callable[..., bytes]:
        def noted(*arguments: Any) -> bytes:
            threads.append(threading.current_thread().name)
            return draw(*arguments)

        return noted

    monkeypatch.setattr(usage_command, "member_chart", noting(usage_command.member_chart))
    monkeypatch.setattr(admin_usage, "report_chart", noting(admin_usage.report_chart))
    for command in ("usage", "admin usage"):
        assert (await told(world, admin, command)).attachments
        for too_soon in ("usage", "admin usage"):
            await admin.slash(world.channel, too_soon)
            assert world.channel.history(viewer=admin)[-1].content == "One moment: ask again in two seconds."
    assert (await told(world, world.member, "usage")).attachments
    assert threads == ["charts_0"] * 3
    assert len(world.env.errors) == 4


async def test_a_picture_that_was_drawn_is_in_the_report(world: World) -> None:
    await drawn(world)
    message = await told(world, world.member, "usage", period="today")
    assert "**1 credit** · 1 job · 1 image" in message.content
    rows = figures(await told(world, admin_of(world), "admin usage", by="user", period="today"))
    assert rows[f"<@{world.member.id}>"][:3] == ["1.00", "1", "1"]
