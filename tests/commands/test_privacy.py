"""``/privacy`` on a simulated Discord: what is told, taken along and deleted; and what stays."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import Any

import pytest

from bot.commands import privacy as privacy_command
from bot.playground.world import World
from bot.store import moderation
from bot.store.accounts import DAY
from bot.views import outbox
from tests.helpers.faults import Faulty
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo, rows
from tests.helpers.privacy import (
    JUST_DATA,
    POSTED_TOO,
    all_text,
    another_member,
    delete,
    files_in,
    of_member,
    told,
)
from tests.helpers.waiting import leave_running, until
from tests.helpers.worlds import OpenWorld, restart
from zimage_engine.device.worker import Worker
from zimage_engine.scheduling.request_states import scope_of
from zimage_engine.types import Unit


async def test_info_says_what_and_for_how_long(world_of: OpenWorld) -> None:
    async with world_of(retention_days=1, backup_days=3, load=False) as world:
        answered = await world.member.slash(world.channel, "privacy info")
        assert answered.ephemeral
        text = answered.response.content
        assert "for 1 day." in text
        assert "backups for 3 days" in text
        assert len(text) < 2000


async def test_deleting_leaves_no_prompt_and_no_picture(world: World) -> None:
    noa = another_member(world)
    await drawn(world, steps=1)
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()), private=True, steps=2)
    await world.member.slash(world.channel, "settings", aspect="16:9")
    secret = "a small yellow star on a white background"
    await noa.slash(world.channel, "imagine", prompt=secret, seed=4)
    await world.member.slash(world.channel, "details", image=("a.png", await newest(world).attachments[0].read()))
    assert len(files_in(world, "sources")) == 2
    before = await of_member(world, noa)

    said = await delete(world, JUST_DATA)
    assert said == "2 prompts and 2 pictures, 1 picture that you gave to `/details`, and your settings, are deleted."
    text = all_text(world)
    assert PROMPT not in text
    assert CHANGED not in text
    assert "16:9" not in text
    # Nor in the file and its log, whatever SQLite has freed.
    data_dir = world.env.bot.settings.data_dir
    assert all(PROMPT.encode() not in path.read_bytes() for path in data_dir.glob("zimage.sqlite3*"))
    assert files_in(world, "sources") == []
    assert [path.name for path in files_in(world, "images")] == [before[0]["file"]]
    assert await rows(world, "SELECT * FROM uploads") == []
    assert await of_member(world, noa) == before
    assert secret in text
    assert [job["owner_id"] for job in await rows(world, "SELECT owner_id FROM jobs ORDER BY id")] == [0, 0, noa.id]
    assert len(world.channel.history(viewer=noa)) == 2, "what was posted stays, unless that is wanted, too"


async def test_deleting_makes_the_device_forget_the_prompts(world_of: OpenWorld) -> None:
    workers: list[Worker] = []

    def wrap(worker: Worker) -> Worker:
        workers.append(worker)
        return worker

    async with world_of(wrap) as world:
        await drawn(world, steps=1)
        noa = another_member(world)
        await noa.slash(world.channel, "imagine", prompt=PROMPT, steps=1)

        def scopes() -> set[str]:
            return {scope for scope, _ in workers[0].model._embeddings._entries}

        own, other = scope_of(int(world.member.id)), scope_of(int(noa.id))
        assert {own, other} <= scopes()
        await delete(world, JUST_DATA)
        await until(lambda: own not in scopes())
        assert other in scopes()


async def test_the_device_forgets_the_prompt_of_a_request_that_ends_after_the_deletion(
    world_of: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, entered, workers = threading.Event(), threading.Event(), list[Worker]()

    def wrap(worker: Worker) -> Faulty:
        workers.append(worker)
        return Faulty(worker, unit=Unit.ENCODE_TEXT, gate=gate, entered=entered)

    async with world_of(wrap) as world:
        jobs = world.env.bot.jobs
        monkeypatch.setattr(jobs.cancellation, "cancel_all_of", partial(jobs.cancellation.cancel_all_of, seconds=0.0))
        monkeypatch.setattr(privacy_command, "_WAIT_SECONDS", 0.0)
        asked = await world.member.slash(world.channel, "privacy delete")
        await press_while_drawing(world, entered, asked.response, JUST_DATA)
        await until(lambda: "1 request of yours is just ending and will be" in told(world, asked.response.id))
        engine, forgotten = jobs._active._engine, list[object]()
        forget = engine.forget
        monkeypatch.setattr(engine, "forget", lambda owner: (forgotten.append(owner), forget(owner)))
        gate.set()
        await world.env.settle()
        assert forgotten == [int(world.member.id)], "a worker that was lost meanwhile would have encoded it again"
        await until(lambda: workers[0].model._embeddings._entries == {})


async def test_keeping_everything_deletes_nothing(world: World) -> None:
    await drawn(world, steps=1)
    before = await rows(world, "SELECT * FROM jobs")
    assert await delete(world, "Keep everything") == "Nothing was deleted."
    assert await rows(world, "SELECT * FROM jobs") == before


async def test_posted_pictures_go_with_it_and_others_stay(world: World) -> None:
    noa = another_member(world)
    await drawn(world, steps=1)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True, steps=1)
    await noa.slash(world.channel, "imagine", prompt=CHANGED, steps=1)
    said = await delete(world, POSTED_TOO)
    assert "2 prompts and 2 pictures" in said
    assert "1 posted message removed." in said
    assert "1 was shown to you alone, out of my reach" in said
    (left,) = world.channel.history(viewer=noa)
    assert CHANGED in left.content
    assert [
        job["result_message_id"] for job in await rows(world, "SELECT result_message_id FROM jobs ORDER BY id")
    ] == [
        None,
        None,
        left.id,
    ]


async def test_posted_pictures_can_still_be_deleted_later_that_day(world: World) -> None:
    await drawn(world, steps=1)
    await delete(world, JUST_DATA)
    await restart(world)
    said = await delete(world, POSTED_TOO)
    assert said == "Your settings are deleted; I kept no prompts and no pictures of yours.\n1 posted message removed."
    assert world.channel.history(viewer=another_member(world)) == []
    assert "No posted pictures of yours were left." in await delete(world, POSTED_TOO)


async def test_messages_that_cannot_be_deleted_are_counted(world: World) -> None:
    await drawn(world, steps=1)
    world.env.inject_error("DELETE", "/channels/*/messages/*", status=403, code=50013)
    said = await delete(world, POSTED_TOO)
    assert "1 message could not be removed: I may not see the channel any more." in said
    assert "1 posted message removed." in await delete(world, POSTED_TOO)


async def test_the_question_outlives_a_restart_and_may_be_answered_twice(world: World) -> None:
    await drawn(world, steps=1)
    first = await world.member.slash(world.channel, "privacy delete")
    second = await world.member.slash(world.channel, "privacy delete")
    await restart(world)
    await world.member.click(first.response, label=JUST_DATA)
    await world.member.click(second.response, label=JUST_DATA)
    assert told(world, first.response.id).startswith("1 prompt and 1 picture")
    assert told(world, second.response.id).startswith("Your settings are deleted; I kept no prompts")


async def press_while_drawing(
    world: World, entered: threading.Event | asyncio.Event, question: Any, label: str
) -> None:
    await leave_running(world, world.member.slash(world.channel, "imagine", prompt=PROMPT))
    await until(entered.is_set)
    await leave_running(world, world.member.click(question, label=label))


async def test_a_press_while_a_picture_is_drawn_cancels_it(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    async with world_of(partial(Faulty, unit=Unit.DENOISE, gate=gate, entered=entered)) as world:
        asked = await world.member.slash(world.channel, "privacy delete")
        await press_while_drawing(world, entered, asked.response, POSTED_TOO)
        await until(lambda: all(active.cancelled for active in world.env.bot.jobs.active.values()))
        gate.set()
        await world.env.settle()
        assert PROMPT not in all_text(world)
        assert files_in(world, "images") == []
        stranger = another_member(world)
        assert world.channel.history(viewer=stranger) == []
        (job,) = await rows(world, "SELECT state, owner_id FROM jobs")
        assert (job["state"], job["owner_id"]) == ("cancelled", 0)


async def test_what_ends_only_after_the_answer_is_forgotten_then(
    world_of: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, entered = threading.Event(), threading.Event()
    async with world_of(partial(Faulty, unit=Unit.DECODE, gate=gate, entered=entered)) as world:
        jobs = world.env.bot.jobs
        monkeypatch.setattr(jobs.cancellation, "cancel_all_of", partial(jobs.cancellation.cancel_all_of, seconds=0.0))
        asked = await world.member.slash(world.channel, "privacy delete")
        await press_while_drawing(world, entered, asked.response, JUST_DATA)
        await until(lambda: "1 request of yours is just ending and will be" in told(world, asked.response.id))
        gate.set()
        await world.env.settle()
        assert PROMPT not in all_text(world)
        assert files_in(world, "images") == []


async def test_what_is_just_being_posted_is_forgotten_and_removed_after_that(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, entered = asyncio.Event(), asyncio.Event()
    post, jobs = outbox.ChannelDestination.post, world.env.bot.jobs

    async def slow(*arguments: Any) -> Any:
        entered.set()
        await go.wait()
        return await post(*arguments)

    monkeypatch.setattr(outbox.ChannelDestination, "post", slow)
    monkeypatch.setattr(jobs.cancellation, "cancel_all_of", partial(jobs.cancellation.cancel_all_of, seconds=0.0))
    asked = await world.member.slash(world.channel, "privacy delete")
    await press_while_drawing(world, entered, asked.response, POSTED_TOO)
    await until(lambda: "1 request of yours is just ending and will be" in told(world, asked.response.id))
    assert [job["state"] for job in await rows(world, "SELECT state FROM jobs")] == ["delivering"]
    go.set()
    await world.env.settle()
    assert await rows(world, "SELECT state, owner_id FROM jobs") == [{"state": "delivered", "owner_id": 0}]
    assert [entry["entry"] for entry in await rows(world, "SELECT entry FROM ledger")] == ["reserved", "settled"]
    assert world.channel.history(viewer=another_member(world)) == []
    assert "1 posted message removed." in told(world, asked.response.id)
    assert files_in(world, "images") == []
    assert PROMPT not in all_text(world)


async def test_pictures_that_were_only_looked_at_go_from_the_log_too(world: World) -> None:
    noa = another_member(world)
    picture = await (await drawn(world, steps=1)).attachments[0].read()
    await delete(world, JUST_DATA)
    await noa.slash(world.channel, "details", image=("a.png", picture))
    said = await delete(world, JUST_DATA, who=noa)
    assert said == "1 picture that you gave to `/details`, and your settings, are deleted."
    assert files_in(world, "sources") == []
    data_dir = world.env.bot.settings.data_dir
    assert all(PROMPT.encode() not in path.read_bytes() for path in data_dir.glob("zimage.sqlite3*"))


async def test_limits_and_blocks_survive_deletion_for_a_day(world_of: OpenWorld) -> None:
    async with world_of(credits_per_day=3.0) as world:
        for _ in range(3):
            await drawn(world, steps=8)
        await delete(world, JUST_DATA)
        refused = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
        assert "used 3 of 3 in the last 24 hours" in refused.response.content
        noa = another_member(world)
        block = moderation.Block(noa.id, None, "for spamming", int(time.time()))
        await world.env.bot.database.write(
            partial(moderation.write_block, guild_id=world.channel.guild.id, block=block)
        )
        await delete(world, JUST_DATA, who=noa)
        blocked = await noa.slash(world.channel, "imagine", prompt=PROMPT)
        assert "block" in blocked.response.content
        assert "spamming" not in blocked.response.content
        assert len(await rows(world, "SELECT id FROM jobs")) == 3
        await world.env.bot.database.write(
            lambda connection: connection.execute("UPDATE accounts SET closed_at = closed_at - ?", (DAY,))
        )
        await world.env.bot.database.write(
            lambda connection: connection.execute("UPDATE drafts SET created_at = created_at - ?", (DAY,))
        )
        await restart(world)  # housekeeping is done at the start
        await until_unlinked(world)
        assert all(row["source_id"] < 0 for row in await rows(world, "SELECT source_id FROM jobs"))
        assert str(world.member.id) not in all_text(world), "nothing tells any more whose it was"
        await drawn(world, steps=1)
        assert len(world.env.errors) == 2


async def until_unlinked(world: World) -> None:
    for _ in range(600):
        if all(row["member_id"] is None for row in await rows(world, "SELECT member_id FROM accounts")):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the account is still somebody's")


async def test_who_left_the_servers_may_still_ask(world_of: OpenWorld) -> None:
    async with world_of(allowed_guilds=frozenset({1}), load=False) as world:
        user = world.env.create_user("uma")
        refused = await user.slash("help")
        assert "other servers only" in refused.response.content
        asked = await user.slash("privacy delete")
        await user.click(asked.response, label=JUST_DATA)
        (said,) = [m.content for m in user.dm_channel.history(viewer=user) if "settings" in m.content]
        assert said.startswith("Your settings are deleted")


async def test_deleting_in_direct_messages(world: World) -> None:
    user = world.env.create_user("uma")
    await user.slash("imagine", prompt=PROMPT)
    assert (await rows(world, "SELECT guild_id FROM jobs"))[0]["guild_id"] is None
    asked = await user.slash("privacy delete")
    await user.click(asked.response, label=POSTED_TOO)
    (said,) = [message.content for message in user.dm_channel.history(viewer=user)]
    assert said == "1 prompt and 1 picture, and your settings, are deleted.\n1 posted message removed."
    assert PROMPT not in all_text(world)
