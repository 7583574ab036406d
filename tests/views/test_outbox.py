"""The ways to deliver a result, in a simulated Discord: what closes each, and which one is taken instead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest

from bot.jobs import delivery
from bot.jobs.delivery import Outage, OwnerMustAsk, Posted, Undeliverable, deliver
from bot.media.metadata import read_fields
from bot.playground.world import World
from bot.requests.spec import ImageSpec
from bot.store.limits import Requester
from bot.views import discord_requests, outbox
from bot.views.buttons import progress_view
from tests.helpers.deliveries import NONCE, SPEC, delivered, direct, job_in, noise, pictures_in, reply, result, ways
from tests.helpers.pictures import picture_of
from tests.helpers.worlds import OpenWorld

POST = "/channels/*/messages"
ANSWER = "/webhooks/*/*/messages/*"


@pytest.fixture
async def world(world_of: OpenWorld) -> AsyncIterator[World]:
    """A world that need not wait for its model: nothing is generated here."""
    async with world_of(load=False) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord_requests, "_RETRY_SECONDS", 0.0)


def channel_without(world: World, **denied: bool) -> Any:
    """Return a new channel in which the bot lacks permissions."""
    guild = world.channel.guild
    overwrite = discord.PermissionOverwrite(**dict.fromkeys(denied, False))
    return guild.create_text_channel("closed", overwrites={guild.default_role: overwrite})


async def thread_in(world: World) -> tuple[discord.Thread, Any]:
    channel = world.env.bot.get_channel(world.channel.id)
    thread = await channel.create_thread(name="side", type=discord.ChannelType.public_thread)
    (handle,) = world.channel.threads
    return thread, handle


async def test_the_channel_is_the_first_way(world: World) -> None:
    posted = await delivered(world, job_in(world))
    (message,) = pictures_in(world.channel)
    assert posted == Posted(world.channel.id, message.id)
    assert not direct(world)


async def test_alt_texts_say_what_and_which_of_how_many(world: World) -> None:
    for count in (1, 3):
        await deliver(*(job_in(world), ways(world.env.bot, job_in(world)), result(count)), look_first=False)
    alone, several = ([each.description for each in message.attachments] for message in pictures_in(world.channel))
    assert alone == ["a red circle"]
    assert several == [f"Picture {number} of 3: a red circle" for number in (1, 2, 3)]


async def test_a_deleted_channel_sends_the_result_as_direct_message(world: World) -> None:
    gone = world.channel.guild.create_text_channel("gone")
    await world.env.bot.get_channel(gone.id).delete()
    posted = await delivered(world, job_in(world, gone))
    (message,) = direct(world)
    assert posted == Posted(message.channel.id, message.id)


async def test_a_deleted_channel_whose_event_is_late_sends_a_direct_message(world: World) -> None:
    world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=404, code=10003)
    await delivered(world, job_in(world))
    assert direct(world)


@pytest.mark.parametrize(
    ("flag", "name"),
    [("view_channel", "View Channel"), ("send_messages", "Send Messages"), ("attach_files", "Attach Files")],
)
async def test_a_permission_that_is_missing_is_named_alone(world: World, flag: str, name: str) -> None:
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007)
    with pytest.raises(Undeliverable) as caught:
        await delivered(world, job_in(world, channel_without(world, **{flag: True})))
    assert caught.value.missing == (name,)
    assert str(caught.value) == f"channel: the bot lacks {name}; direct message: Discord says 403 (50007)"


async def test_a_permission_that_is_lost_in_the_middle_sends_a_direct_message(world: World) -> None:
    world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=403, code=50013)
    await delivered(world, job_in(world))
    assert direct(world)
    assert not pictures_in(world.channel)


async def test_an_archived_thread_that_discord_py_has_forgotten_is_fetched(world: World) -> None:
    thread, handle = await thread_in(world)
    await thread.edit(archived=True)
    thread.guild._remove_thread(thread)
    assert thread.guild.get_thread(thread.id) is None
    await delivered(world, job_in(world, handle))
    assert pictures_in(handle)


async def test_an_archived_and_locked_thread_needs_manage_threads(world: World) -> None:
    guild = world.channel.guild
    overwrite = discord.PermissionOverwrite(manage_threads=False)
    parent = guild.create_text_channel("parent", overwrites={guild.default_role: overwrite})
    thread = await world.env.bot.get_channel(parent.id).create_thread(
        name="side", type=discord.ChannelType.public_thread
    )
    known = thread.guild.get_thread(thread.id)
    known.archived = known.locked = True
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007)
    with pytest.raises(Undeliverable) as caught:
        await delivered(world, job_in(world, thread))
    assert caught.value.missing == ("Manage Threads",)


async def test_a_thread_that_was_locked_meanwhile_needs_manage_threads(world: World) -> None:
    thread, handle = await thread_in(world)
    world.env.inject_error("POST", f"/channels/{thread.id}/messages", status=400, code=50083)
    await delivered(world, job_in(world, handle))
    assert direct(world)
    world.env.inject_error("POST", f"/channels/{thread.id}/messages", status=400, code=50083)
    world.env.inject_error("POST", f"/channels/{world.member.user.dm_channel.id}/messages", status=403, code=50007)
    with pytest.raises(Undeliverable) as caught:
        await delivered(world, job_in(world, handle))
    assert caught.value.missing == ("Manage Threads",)


async def test_a_forum_post(world: World) -> None:
    forum = world.env.bot.get_channel(world.channel.guild.create_forum_channel("forum").id)
    post = await forum.create_thread(name="pictures", content="here")
    await delivered(world, job_in(world, post.thread))
    assert not direct(world)
    assert [m.attachments[0].filename async for m in post.thread.history() if m.attachments]


@pytest.mark.parametrize("kind", ["news", "voice", "stage"])
async def test_announcement_and_voice_text_channels(world: World, kind: str) -> None:
    channel = getattr(world.channel.guild, f"create_{kind}_channel")("other")
    await delivered(world, job_in(world, channel))
    assert pictures_in(channel)


async def test_a_voice_text_channel_needs_connect(world: World) -> None:
    voice = world.channel.guild.create_voice_channel("voice")
    world.env.bot.get_channel(voice.id)._overwrites = [
        discord.abc._Overwrites(
            {
                "id": world.channel.guild.id,
                "type": 0,
                "allow": "0",
                "deny": str(discord.Permissions(connect=True).value),
            }
        )
    ]
    await delivered(world, job_in(world, voice))
    assert direct(world)
    assert not pictures_in(voice)


async def test_the_result_of_a_member_who_left_stays_in_the_channel(world: World) -> None:
    world.channel.guild.remove_member(world.member)
    await delivered(world, job_in(world))
    assert pictures_in(world.channel)


@pytest.mark.parametrize("code", [50007, 50278], ids=["direct messages closed", "no server in common"])
async def test_when_no_way_is_open_every_reason_is_told(world: World, code: int) -> None:
    world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=403, code=50001)
    world.env.inject_error("POST", f"/channels/{world.member.user.dm_channel.id}/messages", status=403, code=code)
    with pytest.raises(Undeliverable, match=rf"channel: .*403 \(50001\); direct message: .*403 \({code}\)"):
        await delivered(world, job_in(world))


async def test_the_result_of_a_deleted_card_is_a_direct_message(world: World) -> None:
    world.env.inject_error("PATCH", ANSWER, status=404, code=10008)
    job = job_in(world, visibility="private", reply=reply(world))
    await delivered(world, job, card=5)
    assert direct(world)
    assert not pictures_in(world.channel)


@pytest.mark.parametrize("status", [401, 404])
async def test_a_token_that_expired_early_sends_a_direct_message(world: World, status: int) -> None:
    world.env.inject_error("PATCH", ANSWER, status=status, code=50027 if status == 401 else 10015)
    await delivered(world, job_in(world, visibility="private", reply=reply(world)), card=5)
    assert direct(world)


async def test_a_server_that_the_bot_has_left_is_no_outage(world: World) -> None:
    job = job_in(world, requester=Requester(world.member.id, 9, 9))
    await delivered(world, job)
    assert direct(world)


@pytest.mark.parametrize(("status", "code"), [(413, 0), (413, 40005), (400, 40005)])
async def test_a_request_that_discord_finds_too_large_is_sent_again_smaller(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int, code: int
) -> None:
    monkeypatch.setattr(delivery, "REFUSED_FILE_LIMIT", 20_000)
    world.env.inject_error("POST", POST, status=status, code=code)
    job = job_in(world)
    await deliver(job, ways(world.env.bot, job), result(2, noise(100)), look_first=False)
    (message,) = pictures_in(world.channel)
    assert [a.filename for a in message.attachments] == ["zimage-000000000000.webp", "zimage-000000000001.webp"]
    assert sum(a.size for a in message.attachments) <= 20_000
    assert ImageSpec(**read_fields(await message.attachments[1].read())) == SPEC  # type: ignore[arg-type]
    assert picture_of(await message.attachments[0].read()).size == (100, 100)


async def test_a_request_that_stays_too_large_takes_the_next_way(world: World) -> None:
    world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=413, times=2)
    await delivered(world, job_in(world))
    assert direct(world)


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, 0), (502, 0), (503, 0), (504, 0), (520, 0), (429, 0), (401, 0), (403, 0), (302, 0), (408, 0)],
)
async def test_while_discord_is_down_no_other_way_is_tried(world: World, status: int, code: int) -> None:
    """A 403 without a code is the page of a proxy, not Discord's word on a permission."""
    world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=status, code=code, times=None)
    with pytest.raises(Outage):
        await delivered(world, job_in(world))
    assert not direct(world)


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError("reset"), TimeoutError("slow"), discord.RateLimited(3600.0), KeyError("id"), TypeError()],
    ids=lambda error: type(error).__name__,
)
async def test_an_answer_that_does_not_come_or_cannot_be_read_is_an_outage(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(world.env.bot.http, "send_message", fail)
    with pytest.raises(Outage, match=type(error).__name__):
        await delivered(world, job_in(world))
    assert not direct(world)


@pytest.mark.parametrize("status", [503, None], ids=["503", "lost connection"])
async def test_one_failure_is_tried_again_with_the_same_nonce(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    nonces: list[str] = []
    send = world.env.bot.http.send_message

    async def flaky(channel_id: int, *, params: Any) -> Any:
        nonces.append(params.payload["nonce"] if params.payload else params.multipart[0]["value"])
        if len(nonces) == 1 and status is None:
            raise ConnectionResetError("reset")
        return await send(channel_id, params=params)

    if status is not None:
        world.env.inject_error("POST", POST, status=status)
    monkeypatch.setattr(world.env.bot.http, "send_message", flaky)
    await delivered(world, job_in(world))
    assert len(pictures_in(world.channel)) == 1
    assert len(nonces) == 2
    assert all(f"{NONCE}1" in nonce for nonce in nonces)


async def test_a_server_that_is_not_available_is_waited_for(world: World) -> None:
    guild = world.env.bot.get_guild(world.channel.guild.id)
    guild.unavailable = True
    with pytest.raises(Outage, match="not available"):
        await delivered(world, job_in(world))
    guild.unavailable = False
    await delivered(world, job_in(world))


async def test_before_discord_has_sent_its_servers_none_of_them_is_missing(world: World) -> None:
    client = discord.Client(intents=discord.Intents.none())
    job = job_in(world)
    with pytest.raises(Outage):
        await deliver(job, ways(client, job), result(), look_first=False)


async def test_a_result_that_was_posted_before_is_found_and_not_posted_again(world: World) -> None:
    channel = world.env.bot.get_channel(world.channel.id)
    await channel.send("another job", view=outbox.result_view(11))
    await channel.send("the card", view=progress_view(1))
    job = job_in(world)
    first = await delivered(world, job, look_first=True)
    for number in range(5):
        await channel.send(str(number))
    assert await delivered(world, job, look_first=True) == first
    assert len(pictures_in(world.channel)) == 1


async def test_a_result_that_was_sent_as_direct_message_is_found(world: World) -> None:
    closed = job_in(world, channel_without(world, send_messages=True))
    first = await delivered(world, closed)
    assert await delivered(world, closed, look_first=True) == first
    assert len(direct(world)) == 1


async def test_a_result_older_than_a_hundred_messages_is_not_looked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_MESSAGES_SEARCHED", 2)
    job = job_in(world)
    first = await delivered(world, job)
    for number in range(2):
        await world.env.bot.get_channel(world.channel.id).send(str(number))
    assert await delivered(world, job, look_first=True) != first


async def test_without_the_history_it_is_posted_again_with_the_same_nonce(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.env.inject_error("GET", POST, status=403, code=50013, times=1)
    nonces: list[str] = []
    send = world.env.bot.http.send_message

    async def recording(channel_id: int, *, params: Any) -> Any:
        nonces.append(params.multipart[0]["value"])
        return await send(channel_id, params=params)

    monkeypatch.setattr(world.env.bot.http, "send_message", recording)
    job = job_in(world)
    await delivered(world, job)
    await delivered(world, job, look_first=True)
    assert [f'"nonce":"{NONCE}1"' in nonce for nonce in nonces] == [True, True]


async def test_while_discord_is_down_nothing_is_posted_unseen(world: World) -> None:
    world.env.inject_error("GET", POST, status=503, times=2)
    with pytest.raises(Outage):
        await delivered(world, job_in(world), look_first=True)
    assert not pictures_in(world.channel)


async def test_a_private_result_is_found_by_its_token(world: World) -> None:
    """The second attempt fetches the answer that the first one has edited."""
    answered = await world.member.slash(world.channel, "ping")
    (interaction,) = world.env.backend.interactions.values()
    job = job_in(world, visibility="private", reply=reply(world, interaction.token))
    first = await delivered(world, job, card=answered.response.id)
    assert first.message_id == answered.response.id
    edits = len([r for r in world.env.http_requests if r.method == "PATCH"])
    assert await delivered(world, job, card=answered.response.id, look_first=True) == first
    assert len([r for r in world.env.http_requests if r.method == "PATCH"]) == edits


async def test_a_private_result_whose_token_has_expired_is_never_posted_by_itself(world: World) -> None:
    expired = job_in(world, visibility="private", reply=reply(world, seconds=-1))
    for job in (expired, job_in(world, visibility="private")):
        with pytest.raises(OwnerMustAsk):
            await delivered(world, job, card=5, look_first=True)
    assert not direct(world)


async def test_an_error_of_our_own_is_not_taken_for_an_outage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_text", lambda *_: {}["nothing"])
    with pytest.raises(KeyError):
        await delivered(world, job_in(world))


async def test_how_large_a_file_each_way_takes(world: World) -> None:
    """What Discord sends with an interaction holds; discord.py's own constant for servers is older than 20 MiB."""
    guild = world.env.bot.get_guild(world.channel.guild.id)
    job = job_in(world, reply=reply(world), response_file_limit=12 * 2**20)
    channel, response, direct_message = ways(world.env.bot, job, 5)
    limits = {}
    for tier in (0, 2, 3):
        guild.premium_tier = tier
        limits[tier] = await channel.limit() // 2**20
    assert limits == {0: 20, 2: 50, 3: 100}
    assert await response.limit() == 12 * 2**20
    assert await direct_message.limit() == 20 * 2**20
