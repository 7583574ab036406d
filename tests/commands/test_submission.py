"""Every way to ask passes the same admission; what costs much is asked about first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import discord
import pytest

from bot.errors import Refusal
from bot.playground.world import World, watch
from bot.views.quota import quota_text
from tests.helpers.admins import admin_of
from tests.helpers.credits import answer_text, count_jobs, credits_in_use, quota_answer
from tests.helpers.faults import Faulty
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo, rows
from tests.helpers.typing_members import types
from tests.helpers.typist import Typist
from tests.helpers.waiting import until
from tests.helpers.worlds import OpenWorld
from zimage_engine.types import Unit


@pytest.fixture
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers to messages are deleted soon, since SimCord waits for that."""
    monkeypatch.setattr("bot.views.card_messages.SHORT_LIVED_SECONDS", 0.3)


async def test_what_is_over_the_limit_is_refused_privately_and_costs_nothing(world: World) -> None:
    ada = admin_of(world)
    await answer_text(world, ada, "admin limits set", target=world.member, limit="credits_per_day", value="1.5")
    await drawn(world, steps=8)
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert answered.ephemeral
    said = answered.response.content
    assert said.startswith("This costs 1 credit. You have used 1 of 1.5 in the last 24 hours. 1 credit comes back <t:")
    assert len(world.env.errors) == 1
    assert (await count_jobs(world), await credits_in_use(world)) == (1, 100)
    assert "1 of 1.5 used, **0.5 left** · for you personally" in await quota_answer(world)


async def test_what_can_never_be_afforded_says_what_to_do(world: World) -> None:
    ada = admin_of(world)
    await answer_text(world, ada, "admin limits set", target=world.member, limit="credits_per_day", value="1.5")
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=2)
    assert "This costs 2 credits, and you have 1.5 in 24 hours" in answered.response.content
    assert len(world.env.errors) == 1


@pytest.mark.parametrize(
    ("limit", "value", "options", "sentence"),
    [
        ("max_count", "1", {"count": 2}, "You may ask for 1 picture at once, not 2: choose a smaller count."),
        ("max_pixels", "65536", {"size": "320x320"}, "That is 102,400 pixels, and your pictures may have 65,536"),
        ("concurrent_jobs", "0", {}, "You may not generate pictures here"),
        ("credits_per_day", "0", {}, "You have no credits here"),
    ],
)
async def test_each_limit_refuses_in_its_own_words(
    world: World, limit: str, value: str, options: dict, sentence: str
) -> None:
    ada = admin_of(world)
    await answer_text(world, ada, "admin limits set", target=world.channel.guild.default_role, limit=limit, value=value)
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT, **options)
    assert answered.ephemeral
    assert sentence in answered.response.content
    assert len(world.env.errors) == 1
    assert await count_jobs(world) == 0


BLOCKED = "You are blocked here"
PAUSED = "An admin of this server has paused me"
DENIED = "I may not be used in this channel"
WORD = "An admin of this server does not want prompts about that"


async def forbid(world: World, how: str) -> None:
    ada, member = admin_of(world), world.member
    match how:
        case "credits":
            await answer_text(world, ada, "admin limits set", target=member, limit="credits_per_day", value="1")
        case "block":
            await answer_text(world, ada, "admin block", member=member)
        case "pause":
            await answer_text(world, ada, "admin pause")
        case "channel":
            await answer_text(world, ada, "admin channels deny", channel=world.channel)
        case "word":
            await answer_text(world, ada, "admin words add", word="circle")


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (None, None),
        ("credits", " 24 hours"),
        ("block", BLOCKED),
        ("pause", PAUSED),
        ("channel", DENIED),
        ("word", WORD),
    ],
)
@pytest.mark.usefixtures("short_answers")
async def test_every_way_to_ask_passes_the_same_admission(
    world_of: OpenWorld, how: str | None, sentence: str | None
) -> None:
    """Commands, buttons, modals, replies and the context menu: each makes a job, or is refused if that is forbidden."""
    async with world_of(message_content_intent=True) as world:
        result = await drawn(world, steps=8)
        photograph = await world.member.send(world.channel, "look", attachments=[("photo.png", photo())])
        await world.env.settle()
        (job,) = await rows(world, "SELECT id FROM jobs")
        if how is not None:
            await forbid(world, how)
        member, channel = world.member, world.channel

        async def by_form(opened: Any) -> None:
            if opened.modal is not None:  # who is not served here gets no form
                await member.submit_modal(opened, {"prompt": CHANGED, "strength": "0.8"})

        async def vary() -> None:
            asked = await member.click(result, custom_id=f"zib:vary:j{job['id']}")
            if asked.response.message.components:  # who is not served here is not asked how
                await member.click(asked.response.message, label="Subtle")

        async def right_click() -> None:
            await by_form(await member.context_menu(channel, "Edit image", photograph))

        ways = {
            "imagine": lambda: member.slash(channel, "imagine", prompt=PROMPT),
            "edit": lambda: member.slash(channel, "edit", prompt=CHANGED, source=result.jump_url),
            "attachment": lambda: member.slash(channel, "edit", prompt=CHANGED, image=("photo.png", photo())),
            "again": lambda: member.click(result, custom_id=f"zib:again:j{job['id']}"),
            "upscale": lambda: member.click(result, custom_id=f"zib:upscale:j{job['id']}"),
            "vary": vary,
            "modal": lambda: form_of(by_form, member, result, job["id"]),
            "right click": right_click,
            "reply": lambda: member.send(channel, f"edit: {CHANGED}", reply_to=result),
            "mention": lambda: member.send(channel, f"<@{world.env.bot.user.id}> {CHANGED}", reply_to=photograph),
        }
        for name, ask in ways.items():
            before = await count_jobs(world)
            seen = {m.id for m in history(world)}
            passing: list[str] = []  # also what is deleted again, as answers to messages are
            watching = asyncio.create_task(watch(world, passing.append))
            await ask()
            await world.env.settle()
            watching.cancel()
            assert await count_jobs(world) == before + (how is None), name
            if sentence is not None:
                said = passing + [m.content for m in history(world) if m.id not in seen]
                # A member who is kept out is told at most once a minute if others can read it.
                quiet = name == "mention" and how in ("block", "pause", "channel")
                assert quiet or any(sentence in content for content in said), (name, said)
        assert world.env.errors is not None


async def form_of(fill: Any, member: Any, result: discord.Message, job_id: int) -> None:
    await fill(await member.click(result, custom_id=f"zib:edit:j{job_id}"))


def history(world: World) -> list[discord.Message]:
    return world.channel.history(viewer=world.member)


async def test_a_word_that_is_not_wanted_is_never_said_by_the_bot(world: World) -> None:
    """An edit shows its card before the picture is read, but not before the prompt is."""
    result = await drawn(world)
    await answer_text(world, admin_of(world), "admin words add", word="goblin")
    public: list[str] = []
    watching = asyncio.create_task(watch(world, public.append))
    await world.member.slash(world.channel, "edit", prompt="a goblin on a blue background", source=result.jump_url)
    watching.cancel()
    assert not [text for text in public if "goblin" in text]
    assert world.env.errors is not None


@pytest.mark.usefixtures("short_answers")
async def test_an_instruction_is_refused_whichever_way_it_comes(world: World) -> None:
    result = await drawn(world, steps=1)
    member, channel, instruction = world.member, world.channel, "make it green"
    said: list[str] = []
    watching = asyncio.create_task(watch(world, said.append))

    async def by_modal() -> Any:
        return await member.submit_modal(await member.click(result, label="Edit"), {"prompt": instruction})

    ways: dict[str, Callable[[], Awaitable[Any]]] = {
        "slash": lambda: member.slash(channel, "edit", prompt=instruction),
        "modal": by_modal,
        "reply": lambda: types(world, f"edit: {instruction}", result),
        "mention": lambda: types(world, f"<@{world.env.bot.user.id}> {instruction}", result),
    }
    for name, ask in ways.items():
        answered = await ask()
        if name in ("slash", "modal"):
            said.append(answered.response.content)
        sentence = f"This model doesn't take instructions. Describe the whole result: `{CHANGED}`."
        assert any(sentence in text for text in said), name
        said.clear()
        assert await count_jobs(world) == 1, name
    watching.cancel()
    assert world.env.errors is not None


@pytest.mark.usefixtures("short_answers")
async def test_why_somebody_is_blocked_is_told_to_them_alone(world: World) -> None:
    result = await drawn(world)
    await answer_text(world, admin_of(world), "admin block", member=world.member, reason="spamming goblins")
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert ": ``spamming goblins``.\n" in answered.response.content
    said: list[str] = []
    watching = asyncio.create_task(watch(world, said.append))
    for _ in range(3):
        await world.member.send(world.channel, f"edit: {CHANGED}", reply_to=result)
    watching.cancel()
    (told,) = [text for text in said if "blocked" in text]
    assert told == f"You are blocked here.\n``{CHANGED}``"
    assert not [text for text in said if "spamming" in text]
    assert world.env.errors is not None


async def test_a_costly_command_asks_once_and_draws_on_yes(world: World) -> None:
    asked = await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=4, steps=9)
    assert asked.ephemeral
    assert asked.response.content.startswith(
        f"Generate 4 pictures (256×256, 9 steps) of ``{PROMPT}``? 4.32 credits; you have 50. "
    )
    assert await count_jobs(world) == 0
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    assert world.channel.history(viewer=stranger) == []
    await world.member.click(asked.response, label="Generate")
    (message,) = world.channel.history()
    assert len(message.attachments) == 4
    assert await credits_in_use(world) == 432


async def test_half_of_what_is_left_is_worth_a_question_too(world_of: OpenWorld) -> None:
    async with world_of(credits_per_day=3.0) as world:
        asked = await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=2)
        assert asked.response.content.startswith(
            f"Generate 2 pictures (256×256, 8 steps) of ``{PROMPT}``? 2 credits; you have 3. "
        )
        await world.member.click(asked.response, label="Generate")
        assert len(newest(world).attachments) == 2
        await world.member.slash(world.channel, "imagine", prompt=PROMPT)
        assert len(newest(world).attachments) == 1, "a single one never asks"


async def test_a_costly_edit_asks_after_the_picture_was_read(world: World) -> None:
    asked = await world.member.slash(
        world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()), count=4, steps=20, strength=0.9
    )
    assert asked.ephemeral is False
    (question,) = [m for m in world.channel.history(viewer=world.member) if "credits" in m.content]
    assert question.content.startswith(
        f"Generate 4 pictures (256×256, 20 steps) of ``{CHANGED}``? 7.8 credits; you have 50. "
    )
    await world.member.click(question, label="Generate")
    assert len(newest(world).attachments) == 4
    assert await credits_in_use(world) == 780


async def test_more_jobs_than_go_at_a_time_wait_in_line_and_are_drawn_in_turn(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    slow = partial(Faulty, unit=Unit.DENOISE, gate=gate, entered=entered)
    async with world_of(slow, concurrent_jobs=1, queued_jobs=1) as world:
        typist = Typist(world)
        await typist.imagine(PROMPT, seed=1)
        await until(entered.is_set)
        second = await typist.imagine(PROMPT, seed=2)
        assert "1 of your own requests comes first; you may have 1 running at a time." in second.shown[0]
        quota_state = await world.env.bot.jobs.admission.quota_state(typist.requester)
        text = quota_text(quota_state, world.env.bot.jobs.admission.terms, direct=False)
        assert "Requests at once: 1 of 1 ·" in text
        assert "Requests in the queue: 1 of 1 ·" in text
        with pytest.raises(Refusal, match="You already have 1 request in the queue"):
            await typist.imagine(PROMPT, seed=3)
        gate.set()
        await until(lambda: len(world.channel.history()) == 2)
        assert ["seed 1 " in m.content for m in world.channel.history()] == [True, False]


async def test_what_waits_in_line_can_be_cancelled(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    slow = partial(Faulty, unit=Unit.DENOISE, gate=gate, entered=entered)
    async with world_of(slow, concurrent_jobs=1) as world:
        typist = Typist(world)
        await typist.imagine(PROMPT)
        await until(entered.is_set)
        second = await typist.imagine(PROMPT)
        waiting = max(world.env.bot.jobs.active)
        await world.env.bot.jobs.cancellation.cancel(waiting)
        await until(lambda: second.shown[-1] == f"Cancelled: ``{PROMPT}``. Nothing was charged.")
        gate.set()
        await until(lambda: not world.env.bot.jobs.active)
        states = [row["state"] for row in await rows(world, "SELECT state FROM jobs ORDER BY id")]
        assert states == ["delivered", "cancelled"]
        assert await credits_in_use(world) == 100


async def test_direct_messages_can_be_switched_off(world_of: OpenWorld) -> None:
    async with world_of(direct_messages=False) as world:
        answered = await world.env.create_user("deo").slash("imagine", prompt=PROMPT)
        assert answered.response.content == f"I work in servers, not in direct messages.\n``{PROMPT}``"
        assert len(world.env.errors) == 1


async def test_a_default_that_is_not_allowed_here_is_not_applied(world: World) -> None:
    await answer_text(world, world.member, "settings", size="large")
    await answer_text(
        world, admin_of(world), "admin limits set", target=world.member, limit="max_pixels", value="256x256"
    )
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert "256×256" in world.channel.history()[-1].content
