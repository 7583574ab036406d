"""Deliveries over sockets: what the bot knows of its message when Discord's answers are lost, wrong or late."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.jobs import delivery
from bot.jobs.delivery import Outage, Posted, deliver
from bot.jobs.job import Job
from bot.media.metadata import read_fields
from bot.views import discord_requests
from tests.helpers.deliveries import job_for, noise, result, ways
from tests.helpers.drawing import Drawing
from tests.helpers.loopback import (
    ANNOUNCEMENTS,
    CHANNEL,
    FORUM_POST,
    GUILD,
    MEMBER,
    THREAD,
    VOICE,
    Fault,
    Loopback,
    Message,
    shown,
)
from tests.helpers.loopback.faults import rate_limit, redirect

pytestmark = pytest.mark.asyncio(loop_scope="module")
POST = f"channels/{CHANNEL}/messages"
PAGE = {"body": b"<html>blocked</html>", "headers": {"Content-Type": "text/html"}}
_JOBS = itertools.count(1_000_000)


@pytest.fixture(autouse=True)
def _retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord_requests, "_RETRY_SECONDS", 0.0)


def job(channel: str = CHANNEL) -> Job:
    return job_for(int(channel), int(GUILD), int(MEMBER), next(_JOBS))


async def delivered(drawing: Drawing, job: Job, *, look_first: bool = False) -> Posted:
    destinations = ways(drawing.client, job)
    return await deliver(job, destinations, result(), look_first=look_first)


def results(discord: Loopback, job: Job) -> list[Message]:
    """Return the messages that show the job's picture, in any channel."""
    return [each for each in shown(discord.state.record) if f"zib:more:j{job.id}" in each.custom_ids]


OUTAGES: dict[str, Callable[[], Fault]] = {
    "503 for minutes": lambda: Fault("POST", POST, None, status=503),
    "connections that break before": lambda: Fault("POST", POST, None, drop="before"),
    "connections that break after": lambda: Fault("POST", POST, None, drop="after"),
    "wrong JSON": lambda: Fault("POST", POST, None, body=b'{"id": '),
    "another JSON": lambda: Fault("POST", POST, None, body=b"[]"),
    "a redirect to a page": lambda: redirect("POST", POST, "/portal", times=None),
    "a proxy's 403": lambda: Fault("POST", POST, None, status=403, **PAGE),  # type: ignore[arg-type]
    "Cloudflare's 429": lambda: rate_limit("POST", POST, scope="cloudflare", times=None),
}


@pytest.mark.parametrize("name", OUTAGES)
async def test_an_outage_posts_nothing_elsewhere_and_nothing_twice(drawing: Drawing, name: str) -> None:
    """Whether the message was posted is unknown; afterwards it is found, or else posted."""
    asked = job()
    drawing.discord.faults.add(OUTAGES[name]())
    with pytest.raises(Outage):
        await delivered(drawing, asked)
    assert {each.channel_id for each in results(drawing.discord, asked)} <= {CHANNEL}
    drawing.discord.faults.clear()
    drawing.discord.state.forget_nonces()
    posted = await delivered(drawing, asked, look_first=True)
    (message,) = results(drawing.discord, asked)
    assert posted == Posted(int(CHANNEL), int(message.id))


async def test_the_nonce_keeps_a_second_attempt_from_posting_again(drawing: Drawing) -> None:
    asked = job()
    drawing.discord.faults.add(Fault("POST", POST, drop="after"))
    await delivered(drawing, asked)
    assert len(drawing.discord.made("POST", POST)) >= 2
    assert len(results(drawing.discord, asked)) == 1


async def test_another_author_s_message_is_not_taken_for_the_result(drawing: Drawing) -> None:
    """Any bot can give its buttons the same ids."""
    asked = job()
    posted = await delivered(drawing, asked)
    messages, number = drawing.discord.state.messages, str(posted.message_id)
    messages[number] = replace(messages[number], author_id=MEMBER)
    drawing.discord.state.forget_nonces()
    assert await delivered(drawing, asked, look_first=True) != posted


@pytest.mark.parametrize("scope", ["user", "shared", "global"])
async def test_a_429_with_and_without_bucket_headers_is_waited_for(drawing: Drawing, scope: str) -> None:
    asked = job()
    drawing.discord.faults.add(rate_limit("POST", POST, 0.1, scope=scope, times=2))  # type: ignore[arg-type]
    await delivered(drawing, asked)
    assert len(results(drawing.discord, asked)) == 1


async def test_a_413_although_the_limit_said_otherwise(drawing: Drawing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "REFUSED_FILE_LIMIT", 20_000)
    drawing.discord.state.upload_limit = 25_000
    asked = job()
    destinations = ways(drawing.client, asked)
    await deliver(asked, destinations, result(png=noise(100)), look_first=False)
    (message,) = results(drawing.discord, asked)
    (file,) = message.attachments
    assert file.filename.endswith(".webp")
    assert read_fields(file.data) is not None


@pytest.mark.parametrize("channel", [FORUM_POST, ANNOUNCEMENTS, THREAD, VOICE])
async def test_the_other_kinds_of_channels_take_results(drawing: Drawing, channel: str) -> None:
    asked = job(channel)
    await delivered(drawing, asked)
    (message,) = results(drawing.discord, asked)
    assert message.channel_id == channel
    assert await delivered(drawing, asked, look_first=True) == Posted(int(channel), int(message.id))


async def test_an_archived_thread_is_fetched_and_unarchived(drawing: Drawing) -> None:
    drawing.discord.archive(THREAD)
    asked = job(THREAD)
    await delivered(drawing, asked)
    (message,) = results(drawing.discord, asked)
    assert message.channel_id == THREAD
    assert not drawing.discord.state.channels[THREAD].archived


async def test_a_locked_thread_sends_a_direct_message(drawing: Drawing) -> None:
    drawing.discord.archive(THREAD, locked=True)
    asked = job(THREAD)
    await delivered(drawing, asked)
    (message,) = results(drawing.discord, asked)
    assert message.channel_id == drawing.discord.state.conversation(MEMBER).id


async def test_a_voice_text_channel_without_connect_sends_a_direct_message(drawing: Drawing) -> None:
    drawing.discord.deny(VOICE, "connect")
    asked = job(VOICE)
    await delivered(drawing, asked)
    (message,) = results(drawing.discord, asked)
    assert message.channel_id == drawing.discord.state.conversation(MEMBER).id
