"""``/admin usage`` on a simulated Discord: what is told, to whom, and of which server."""

from __future__ import annotations

import re
import sqlite3

import pytest

from bot.playground.world import World
from bot.store import accounts
from bot.store.accounts import DAY
from tests.helpers.admins import admin_of
from tests.helpers.usage import add_usage, usage_answer, usage_chart, usage_figures, usage_sheet


async def test_an_admin_sees_what_was_used_by_day(world: World) -> None:
    here, mira, channel = world.channel.guild.id, world.member.id, world.channel.id
    await add_usage(
        world,
        (here, 0, mira, channel, "imagine", 2, 3, 250, 4200),
        (here, 0, 77, channel, "edit", 1, 1, 5, 1000),
        (here, 29, mira, channel, "imagine", 1000, 1000, 123_400, 3_600_000),
        (here, 30, mira, channel, "imagine", 1, 1, 100, 100),
    )
    message = await usage_answer(world, admin_of(world), "admin usage")
    assert "**1,236.55 credits** · 1,003 requests · 1,004 pictures · 1 h 0 min on the device" in message.content
    rows = list(usage_figures(message).values())
    assert rows == [["2.55", "3", "4", "5.2 s"], ["1,234.00", "1,000", "1,000", "1 h 0 min"]], "the newest day first"
    assert (await usage_chart(message)).size == (1800, 900)
    assert len(message.attachments) == 1


async def test_by_member_with_mentions_the_rest_summed_and_forgotten_ones_together(world: World) -> None:
    here, channel = world.channel.guild.id, world.channel.id
    await add_usage(
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
    message = await usage_answer(world, admin_of(world), "admin usage", by="user")
    rows = usage_figures(message)
    assert list(rows)[:3] == [f"<@{world.member.id}>", "former members", "<@111>"]
    assert rows["former members"] == ["850.00", "18", "18", "0 s"]
    assert rows["4 others"] == ["4.06", "4", "8", "2 s"]
    assert len(rows) == 11
    await usage_chart(message)


async def test_by_channel_and_by_kind(world: World) -> None:
    here, mira = world.channel.guild.id, world.member.id
    await add_usage(
        world,
        (here, 1, mira, world.channel.id, "imagine", 1, 1, 100, 0),
        (here, 1, mira, world.channel.id, "edit", 1, 1, 250, 0),
        (here, 1, mira, 4321, "edit", 1, 1, 700, 0),
    )
    admin = admin_of(world)
    assert list(usage_figures(await usage_answer(world, admin, "admin usage", by="channel"))) == [
        "deleted channel 4321",
        f"<#{world.channel.id}>",
    ]
    rows = usage_figures(await usage_answer(world, admin, "admin usage", by="kind"))
    assert {kind: row[0] for kind, row in rows.items()} == {"edit": "9.50", "imagine": "1.00"}


async def test_of_one_person_and_of_a_shorter_time(world: World) -> None:
    here, mira, channel = world.channel.guild.id, world.member.id, world.channel.id
    await add_usage(
        world,
        (here, 0, mira, channel, "imagine", 1, 1, 100, 0),
        (here, 6, mira, channel, "imagine", 1, 1, 200, 0),
        (here, 7, mira, channel, "imagine", 1, 1, 400, 0),
        (here, 0, 77, channel, "imagine", 1, 1, 800, 0),
    )
    admin = admin_of(world)
    for period, credit in (("today", "1"), ("7 days", "3"), ("90 days", "7")):
        message = await usage_answer(world, admin, "admin usage", period=period, member=world.member)
        assert f"**Usage of <@{mira}> in this server**" in message.content
        assert f"**{credit} credit" in message.content
        await usage_chart(message)
    assert "**9 credits**" in (await usage_answer(world, admin, "admin usage", period="today")).content


async def test_the_export_has_every_row_and_no_formulas(world: World) -> None:
    guild, channel = world.channel.guild, world.channel.id
    crook = guild.add_member(world.env.create_user("crook"), nick="=HYPERLINK(1)")
    await add_usage(
        world,
        (guild.id, 1, crook.id, channel, "imagine", 5, 6, 90_005, 60_001),
        *((guild.id, 1, 100 + number, channel, "vary", 1, 2, 100, 500) for number in range(30)),
    )
    message = await usage_answer(world, admin_of(world), "admin usage", by="user", export=True)
    assert message.attachments[1].filename == "usage-30-days-by-user.csv"
    rows = await usage_sheet(message)
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
    days = await usage_sheet(await usage_answer(world, admin_of(world), "admin usage", by="day", export=True))
    assert [sorted(row) for row in days] == [["credits", "day", "device_seconds", "images", "jobs"]]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", days[0]["day"])


async def test_the_export_and_the_chart_have_the_names_of_all_who_are_in_the_server(world: World) -> None:
    guild, channel = world.channel.guild, world.channel.id
    members = [guild.add_member(world.env.create_user(f"m{number}"), nick=f"小红 {number}") for number in range(25)]
    await add_usage(
        world,
        *((guild.id, 1, member.id, channel, "imagine", 1, 1, 900 - at, 1000) for at, member in enumerate(members)),
    )
    message = await usage_answer(world, admin_of(world), "admin usage", by="user", export=True)
    assert [row["name"] for row in await usage_sheet(message)] == [f"小红 {number}" for number in range(25)]
    assert "requests. 小红 0: 9; 小红 1: 8.99; " in message.attachments[0].description


async def test_a_channel_that_was_deleted_is_no_mention(world: World) -> None:
    guild = world.channel.guild
    gone = guild.create_text_channel("gone")
    await add_usage(
        world,
        (guild.id, 1, world.member.id, world.channel.id, "imagine", 1, 1, 200, 0),
        (guild.id, 1, world.member.id, gone.id, "imagine", 1, 1, 100, 0),
    )
    await world.env.bot.get_channel(gone.id).delete()
    message = await usage_answer(world, admin_of(world), "admin usage", by="channel", export=True)
    assert list(usage_figures(message)) == [f"<#{world.channel.id}>", f"deleted channel {gone.id}"]
    assert [row["name"] for row in await usage_sheet(message)] == ["#pictures", ""]


async def test_nothing_used_is_one_sentence_without_a_chart(world: World) -> None:
    admin = admin_of(world)
    message = await usage_answer(world, admin, "admin usage", period="7 days")
    assert (message.content, message.attachments) == ("Nobody has used me in this server in the last 7 days.", [])
    message = await usage_answer(world, admin, "admin usage", period="today", member=world.member)
    assert message.content == f"<@{world.member.id}> has not used me in this server today."
    message = await usage_answer(world, world.member, "usage")
    assert (message.content, message.attachments) == (
        "You have not used me in this server in the last 7 days.",
        [],
    )


async def test_another_server_s_usage_is_not_to_be_seen(world: World) -> None:
    """By its admin, its members, the same person's id, or the other server's channel."""
    other = world.env.create_guild(name="Elsewhere")
    place = other.create_text_channel("theirs")
    await add_usage(
        world,
        (world.channel.guild.id, 0, world.member.id, world.channel.id, "imagine", 1, 1, 100, 0),
        (other.id, 0, world.member.id, place.id, "imagine", 3, 3, 4200, 0),
        (0, 0, world.member.id, 5, "imagine", 7, 7, 77_700, 0),
    )
    ours, theirs = admin_of(world), admin_of(world, other)
    for by in ("day", "user", "channel", "kind"):
        for extra in ({}, {"member": world.member}):
            here = await usage_answer(world, ours, "admin usage", by=by, export=True, **extra)
            assert "**1 credit**" in here.content
            assert [row["credits"] for row in await usage_sheet(here)] == ["1.00"]
            assert str(place.id) not in here.content
        there = await usage_answer(world, theirs, "admin usage", place, by=by)
        assert "**42 credits**" in there.content
    stranger = other.add_member(world.env.create_user("stranger"))
    assert "You have not used me" in (await usage_answer(world, stranger, "usage", place)).content


async def test_members_may_not_ask_for_the_server_s(world: World) -> None:
    with pytest.raises(Exception, match=r"(?i)permission"):
        await world.member.slash(world.channel, "admin usage")
