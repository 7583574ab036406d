"""Results that cannot be posted at first: who is told, and what makes them come."""

from __future__ import annotations

import sqlite3
from typing import Any

import discord
import pytest

from bot.jobs.delivery import Outage, Undeliverable
from bot.playground.world import World
from bot.store import jobs
from bot.views import discord_requests
from tests.helpers.waiting import until

PROMPT = "a red circle on a blue background"
POST = "/channels/*/messages"
COULD_NOT = "I couldn't post your picture from <t:"


@pytest.fixture(autouse=True)
def _retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord_requests, "_RETRY_SECONDS", 0.0)


async def state(world: World) -> list[dict[str, Any]]:
    sql = "SELECT state, delivery_attempts AS attempts, due_at IS NULL AS parked FROM jobs ORDER BY id"
    return [dict(row) for row in await world.env.bot.database.query(sql)]


def outage(world: World, requests: int = 2) -> None:
    """Let the next requests to post a message fail as if Discord were down; each attempt makes two."""
    for _ in range(requests):
        world.env.inject_error("POST", POST, status=503)


def shown_to_member(world: World) -> list[str]:
    return [message.content for message in world.channel.history(viewer=world.member)]


async def press(world: World, label: str) -> None:
    """Press the button with this label, on whichever of the member's messages has it."""
    for message in reversed(world.channel.history(viewer=world.member)):
        for row in message.components:
            for item in getattr(row, "children", []):
                if getattr(item, "label", None) == label:
                    await world.member.click(message, label=label)
                    return
    raise AssertionError(f"no button {label}")


async def test_an_outage_is_named_and_the_picture_comes_ten_seconds_later(world: World) -> None:
    outage(world)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    (card,) = world.channel.history()
    assert PROMPT in card.content
    assert "Your picture is ready, but Discord is not taking it at the moment. I keep it" in card.content
    assert "View Channel" not in card.content
    (row,) = await world.env.bot.database.query("SELECT due_at - rendered_at AS pause FROM jobs")
    assert 9 <= row["pause"] <= 12
    await world.env.bot.database.write(lambda c: c.execute("UPDATE jobs SET due_at = due_at - 10").rowcount)
    await world.env.advance_time(5)
    await until(lambda: bool(world.channel.history()[-1].attachments))
    assert len(world.channel.history()) == 1, "the card is gone"
    assert await state(world) == [{"state": "delivered", "attempts": 2, "parked": 1}]


async def test_the_member_s_next_command_brings_it_or_offers_it(world: World) -> None:
    outage(world)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    outage(world)
    await world.member.slash(world.channel, "ping")
    assert any(COULD_NOT in text for text in shown_to_member(world))
    assert await state(world) == [{"state": "rendered", "attempts": 2, "parked": 0}]
    await press(world, "Show it")
    assert await state(world) == [{"state": "delivered", "attempts": 3, "parked": 1}]
    (message,) = [message for message in world.channel.history() if message.attachments]
    assert not message.flags.ephemeral


async def test_an_offer_that_discord_refuses_is_only_logged(world: World) -> None:
    outage(world)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    outage(world)
    world.env.inject_error("POST", "/webhooks/*/*", status=404, code=10015)
    await world.member.slash(world.channel, "ping")  # an error that nothing handles would fail the test
    assert not any(COULD_NOT in text for text in shown_to_member(world))


async def test_the_next_command_says_nothing_if_the_picture_could_be_posted_then(world: World) -> None:
    outage(world)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    await world.member.slash(world.channel, "ping")
    assert await state(world) == [{"state": "delivered", "attempts": 2, "parked": 1}]
    assert not any(COULD_NOT in text for text in shown_to_member(world))


async def test_quota_names_what_could_not_be_posted(world: World) -> None:
    outage(world)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    answered = await world.member.slash(world.channel, "quota")
    assert COULD_NOT in answered.response.content
    assert "I try again <t:" in answered.response.content
    await press(world, "Show it")
    assert (await state(world))[0]["state"] == "delivered"


async def test_a_picture_that_still_cannot_be_posted_says_so_and_comes_later(world: World) -> None:
    outage(world)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    await world.member.slash(world.channel, "quota")
    outage(world)
    await press(world, "Show it")
    assert "I still cannot post this picture, but I keep it and try again: /quota says when." in shown_to_member(world)
    await world.env.bot.database.write(lambda c: c.execute("UPDATE jobs SET due_at = 1").rowcount)
    await world.env.bot.jobs.deliveries.check()
    await until(lambda: any(message.attachments for message in world.channel.history()))
    await until(lambda: not any("I still cannot post" in text for text in shown_to_member(world)))


async def test_a_picture_that_is_being_posted_when_its_owner_asks_for_it_is_named_as_posted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage(world)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    await world.member.slash(world.channel, "quota")

    def too_late(connection: sqlite3.Connection, job_id: int, **changes: object) -> bool:
        jobs.delivering(connection, job_id)
        jobs.delivered(connection, job_id, world.channel.id, 77, 5)
        return False

    monkeypatch.setattr("bot.store.recovery.show_again", too_late)
    await press(world, "Show it")
    assert "This picture has already been posted." in shown_to_member(world)


async def test_a_second_click_on_show_it_is_silent(world: World) -> None:
    outage(world)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    answered = await world.member.slash(world.channel, "quota")
    await world.member.click(answered.response, label="Show it")
    before = shown_to_member(world)
    again = await world.member.click(answered.response, label="Show it")
    assert again.deferred
    assert shown_to_member(world) == before
    assert (await state(world))[0]["state"] == "delivered"


async def test_somebody_else_cannot_have_it_shown(world: World) -> None:
    outage(world)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    (job,) = await world.env.bot.database.query("SELECT id FROM jobs")
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    channel = world.env.bot.get_channel(world.channel.id)
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="Forged", custom_id=f"zib:show:j{job['id']}"))
    forged = await channel.send("x", view=view)
    (message,) = [each for each in world.channel.history() if each.id == forged.id]
    await stranger.click(message, label="Forged")
    said = [each.content for each in world.channel.history(viewer=stranger)]
    assert "Only the member who asked for this picture can have it shown." in said
    assert (await state(world))[0]["state"] == "rendered"


async def test_a_private_picture_whose_token_has_expired_is_shown_when_its_owner_asks_and_not_before(
    world: World,
) -> None:
    world.env.inject_error("PATCH", "/webhooks/*/*/messages/*", status=503, times=None)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True)
    assert await state(world) == [{"state": "rendered", "attempts": 1, "parked": 0}]
    world.env.backend.faults.clear()
    await world.env.bot.database.write(
        lambda c: c.execute("UPDATE jobs SET interaction_token = NULL, token_expires_at = NULL, due_at = 1").rowcount
    )
    await world.env.bot.jobs.deliveries.check()
    await until(lambda: not world.env.bot.jobs.deliveries.job_ids)
    assert (await state(world))[0]["parked"] == 1
    assert not any(message.attachments for message in world.channel.history(viewer=world.member))
    await world.member.slash(world.channel, "ping")
    await press(world, "Show it")
    (message,) = [each for each in world.channel.history(viewer=world.member) if each.attachments]
    assert message.flags.ephemeral
    assert (await state(world))[0]["state"] == "delivered"


async def test_a_permission_that_comes_back_brings_the_picture(world: World) -> None:
    outage(world)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    channel = world.env.bot.get_channel(world.channel.id)
    await channel.set_permissions(channel.guild.default_role, attach_files=True)
    await until(lambda: any(message.attachments for message in world.channel.history()))
    await until(lambda: not world.env.bot.jobs.deliveries.job_ids)
    assert await state(world) == [{"state": "delivered", "attempts": 2, "parked": 1}]


async def test_a_change_that_gives_no_permission_makes_no_attempt(world: World) -> None:
    """Other bots change a role's colour every few seconds, and refused requests count against this bot."""
    role = world.channel.guild.create_role("Rainbow")
    outage(world)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    channel = world.env.bot.get_channel(world.channel.id)
    await channel.guild.get_role(role.id).edit(colour=discord.Colour.red())
    await channel.edit(topic="red")
    await world.env.settle()
    assert await state(world) == [{"state": "rendered", "attempts": 1, "parked": 0}]


async def test_a_result_that_one_member_s_channel_refuses_is_no_alert(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every hour there would be one that no operator can do anything about."""
    error: Exception = Undeliverable("channel: Missing Permissions")

    async def fail(*_: object, **__: object) -> None:
        raise error

    async def alerts() -> list[str]:
        caplog.clear()
        assert world.env.bot.monitor is not None
        world.env.bot.monitor.alerts._sent_at.clear()
        await world.env.bot.database.write(lambda c: c.execute("DELETE FROM facts WHERE name LIKE 'alert%'").rowcount)
        await world.env.bot.monitor.check()
        return [record.msg["text"] for record in caplog.records if record.msg["event"] == "alert"]

    monkeypatch.setattr("bot.jobs.completion.deliver", fail)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=1)
    await until(lambda: not world.env.bot.jobs.active)
    assert await alerts() == []
    error = Outage("503 Service Unavailable")
    await world.env.bot.database.write(lambda c: c.execute("UPDATE jobs SET due_at = 1").rowcount)
    await world.env.bot.jobs.deliveries.check()
    await until(lambda: not world.env.bot.jobs.deliveries.job_ids)
    (told,) = await alerts()
    assert told.startswith("1 result could not be posted yet.")
    error = Undeliverable("channel: Missing Permissions")
    await world.env.bot.database.write(lambda c: c.execute("UPDATE jobs SET due_at = 1").rowcount)
    await world.env.bot.jobs.deliveries.check()
    await until(lambda: not world.env.bot.jobs.deliveries.job_ids)
    assert await alerts() == []
    other = world.channel.guild.add_member(world.env.create_user("noa"))
    await other.slash(world.channel, "imagine", prompt=PROMPT, steps=1)
    await until(lambda: not world.env.bot.jobs.active)
    (told,) = await alerts()
    assert told.startswith("2 results could not be posted yet."), "of several members: maybe the bot's own role"
