"""[Edit request] on a simulated Discord: what a member typed can be edited and asked for again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bot.playground.world import World
from bot.requests.drafts import Draft, keep_draft
from bot.store.drafts import DRAFTS_MAX
from bot.views.drafts import draft_view
from bot.views.picture_references import original_reference
from tests.helpers.admins import admin_of, told
from tests.helpers.buttons import button_labels, filled_in
from tests.helpers.credits import answer_text, count_jobs
from tests.helpers.job_worlds import change
from tests.helpers.pictures import CHANGED, PROMPT, newest, photo, rows, seen_in
from tests.helpers.worlds import restart

ODD = f"{PROMPT} --nope"
Prepare = Callable[[World], Awaitable[Any]]


async def refused(world: World, prompt: str = ODD, **options: Any) -> Any:
    """Run an ``/imagine`` that is refused. Returns the answer."""
    answered = await world.member.slash(world.channel, "imagine", prompt=prompt, **options)
    assert answered.ephemeral
    assert world.env.errors
    return answered


async def no_credits(world: World) -> None:
    ada = admin_of(world)
    await answer_text(world, ada, "admin limits set", target=world.member, limit="credits_per_day", value="0.5")


async def blocked_word(world: World) -> None:
    await told(world, admin_of(world), "admin words add", word="circle")


async def denied_channel(world: World) -> None:
    await told(world, admin_of(world), "admin channels deny", channel=world.channel)


async def blocked_member(world: World) -> None:
    await told(world, admin_of(world), "admin block", member=world.member)


async def paused(world: World) -> None:
    await told(world, admin_of(world), "admin pause")


async def broken(world: World) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    world.env.bot.jobs.run = fail


@pytest.mark.parametrize("prepare", [no_credits, blocked_word, denied_channel, blocked_member, paused, broken])
async def test_every_refusal_repeats_the_request_and_lets_it_be_edited(world: World, prepare: Prepare) -> None:
    await prepare(world)
    answered = await refused(world, PROMPT, seed=5, private=True)
    assert answered.response.content.splitlines()[-1] == f"``{PROMPT} --seed 5``"
    assert button_labels(answered.response) == ["Edit request"]
    shown = await world.member.click(answered.response, label="Edit request")
    assert filled_in(shown) == {"prompt": PROMPT, "flags": "--seed 5", "private": ["yes"]}
    assert await count_jobs(world) == 0


@pytest.mark.pictures
async def test_a_refused_request_is_edited_and_drawn(world: World) -> None:
    answered = await refused(world, aspect="16:9", steps=4)
    assert answered.response.content.endswith(f"\n``{ODD} --ar 16:9 --steps 4``")
    shown = await world.member.click(answered.response, label="Edit request")
    fields = filled_in(shown)
    assert fields == {"prompt": ODD, "flags": "--ar 16:9 --steps 4", "private": ["settings"]}
    await world.member.submit_modal(shown, {**fields, "prompt": f"{PROMPT} --seed 7", "flags": "--steps 4 --seed 8"})
    picture = newest(world)
    assert "seed 7 " in picture.content, "a flag wins over the field beside it"
    assert await seen_in(picture) == ("circle", "red", "blue")


async def test_what_is_wrong_in_the_form_is_refused_with_everything_typed(world: World) -> None:
    shown = await world.member.click((await refused(world)).response, label="Edit request")
    again = await world.member.submit_modal(shown, {"prompt": PROMPT, "flags": "seed 5", "private": ["yes"]})
    assert again.ephemeral
    assert "“seed 5” is none" in again.response.content
    shown = await world.member.click(again.response, label="Edit request")
    assert filled_in(shown) == {"prompt": PROMPT, "flags": "seed 5", "private": ["yes"]}
    await world.member.submit_modal(shown, {"prompt": PROMPT, "flags": "--seed 5", "private": ["yes"]})
    assert newest(world).flags.ephemeral
    assert world.env.errors


async def test_an_offered_request_is_drawn_with_one_press(world: World) -> None:
    answered = await refused(world, f"{PROMPT} --sede 5", steps=4, private=True)
    offered, edit = button_labels(answered.response)
    assert edit == "Edit request"
    await world.member.click(answered.response, label=offered)
    picture = newest(world)
    assert "seed 5 " in picture.content
    assert "4 steps" in picture.content
    assert picture.flags.ephemeral
    second = await world.member.click(answered.response, label=offered)
    assert second.deferred, "a double click asks once"
    assert await count_jobs(world) == 1


async def test_only_its_owner_can_use_a_draft(world: World) -> None:
    await refused(world, f"{PROMPT} --sede 5")
    (draft,) = await rows(world, "SELECT id FROM drafts")
    forged = await world.env.bot.get_channel(world.channel.id).send("x", view=draft_view(draft["id"]))
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    answered = await noa.click(forged, label="Edit request")
    assert answered.ephemeral
    assert answered.response.content == "Only the member who asked for this picture can edit the request."


async def test_drafts_outlive_a_restart_and_are_kept_for_a_day(world: World) -> None:
    answered = await refused(world)
    await restart(world)
    shown = await world.member.click(answered.response, label="Edit request")
    assert filled_in(shown)["prompt"] == ODD
    await change(world, "UPDATE drafts SET created_at = created_at - 86400")
    late = await world.member.click(answered.response, label="Edit request")
    assert late.response.content.startswith("This request is no longer kept: ")
    # What is typed into a form that is open meanwhile is not lost.
    await world.member.submit_modal(shown, {"prompt": PROMPT, "flags": "--seed 9", "private": ["no"]})
    assert "seed 9 " in newest(world).content


async def test_refusals_do_not_fill_the_database(world: World) -> None:
    for _ in range(3):
        await refused(world)
    assert len(await rows(world, "SELECT * FROM drafts")) == 1
    for number in range(DRAFTS_MAX + 3):
        await refused(world, f"{PROMPT} --nope {number}")
    assert len(await rows(world, "SELECT * FROM drafts")) == DRAFTS_MAX


@pytest.mark.pictures
async def test_an_edit_is_edited_with_the_picture_that_was_given(world: World) -> None:
    answered = await world.member.slash(
        world.channel, "edit", prompt=f"{CHANGED} --nope", image=("p.png", photo()), strength=0.9
    )
    assert button_labels(answered.response)[-1] == "Edit request"
    assert world.env.errors
    await restart(world, sketches=False)
    shown = await world.member.click(answered.response, label="Edit request")
    assert filled_in(shown)["flags"] == "--strength 0.9"
    await world.member.submit_modal(shown, {"prompt": CHANGED, "flags": "--strength 0.9", "private": ["no"]})
    assert await seen_in(newest(world)) == ("circle", "green", "blue")
    assert [row["kind"] for row in await rows(world, "SELECT kind FROM jobs")] == ["edit"]


async def test_an_edit_that_fails_while_its_picture_is_read_is_given_back(world: World) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("p.png", b"no picture"), strength=0.9)
    (said,) = [message for message in world.channel.history(viewer=world.member) if CHANGED in message.content]
    assert said.content.endswith(f"\n``{CHANGED} --strength 0.9``")
    assert button_labels(said) == ["Edit request"]
    shown = await world.member.click(said, label="Edit request")
    assert filled_in(shown) == {"prompt": CHANGED, "flags": "--strength 0.9", "private": ["settings"]}


async def test_a_reply_is_edited_with_the_picture_that_it_answers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.views.card_messages.SHORT_LIVED_SECONDS", 1.0)
    await world.member.slash(world.channel, "imagine", prompt="a yellow star on a black background", seed=1)
    first = newest(world)
    await world.member.slash(world.channel, "imagine", prompt="a green square on a white background", seed=1)
    seen: list[Any] = []
    original = type(world.env.bot.get_channel(world.channel.id)).send

    async def watch(*args: Any, **options: Any) -> Any:
        seen.append(options.get("view"))
        return await original(*args, **options)

    monkeypatch.setattr(type(world.env.bot.get_channel(world.channel.id)), "send", watch)
    await world.member.send(world.channel, f"edit: {CHANGED} --nope", reply_to=first)
    (draft,) = await rows(world, "SELECT id FROM drafts")
    assert [item.item.custom_id for item in seen[-1].children][-1] == f"zib:draft-edit:d{draft['id']}"
    message = await world.env.bot.get_channel(world.channel.id).send("x", view=draft_view(draft["id"]))
    shown = await world.member.click(message, label="Edit request")
    assert filled_in(shown)["prompt"] == f"{CHANGED} --nope"
    await world.member.submit_modal(shown, {"prompt": CHANGED, "flags": "--strength 0.9", "private": ["no"]})
    assert f"edit of {first.jump_url}" in newest(world).content


async def test_a_changed_request_takes_the_place_of_its_price_question(world: World) -> None:
    asked = await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=4, steps=9)
    shown = await world.member.click(asked.response, label="Change")
    assert filled_in(shown)["flags"] == "--count 4 --steps 9"
    await world.member.submit_modal(shown, {"prompt": PROMPT, "flags": "--count 2", "private": ["no"]})
    assert world.env.bot.parts.questions.open_ids == []
    (picture,) = world.channel.history(viewer=world.member)
    assert len(picture.attachments) == 2


@pytest.mark.pictures
async def test_an_instruction_is_generated_anyway_or_edited(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, seed=1)
    original = newest(world)
    shown = await world.member.context_menu(world.channel, "Edit image", original)
    refused = await world.member.submit_modal(shown, {"prompt": "make it green", "strength": "0.9"})
    assert refused.response.content.splitlines()[-1] == "``make it green --strength 0.9``"
    assert button_labels(refused.response) == ["Generate anyway", "Edit request"]
    await world.member.slash(world.channel, "settings", count=2)
    await world.member.click(refused.response, label="Generate anyway")
    assert "``make it green``" in newest(world).content
    assert len(newest(world).attachments) == 2, "the member's own defaults apply"
    await world.member.slash(world.channel, "settings", count=1)
    shown = await world.member.click(refused.response, label="Edit request")
    await world.member.submit_modal(shown, {**filled_in(shown), "prompt": CHANGED})
    assert await seen_in(newest(world)) == ("circle", "green", "blue")
    assert f"edit of {original.jump_url}" in newest(world).content
    assert world.env.errors is not None


@pytest.mark.pictures
async def test_an_edit_without_a_picture_asks_for_one_in_the_form(world: World) -> None:
    answered = await world.member.slash(world.channel, "edit", prompt=CHANGED, strength=0.9)
    assert len(world.env.errors) == 1
    shown = await world.member.click(answered.response, label="Edit request")
    await world.member.submit_modal(shown, {**filled_in(shown), "picture": ("p.png", photo())})
    assert await seen_in(newest(world)) == ("circle", "green", "blue")


@pytest.mark.pictures
async def test_an_edit_whose_original_is_no_longer_kept_asks_for_a_picture_in_the_form(world: World) -> None:
    draft = Draft(CHANGED, flags="--strength 0.9", picture=original_reference("0" * 32))
    draft_id = await keep_draft(world.env.bot.database, world.member.id, draft)
    message = await world.env.bot.get_channel(world.channel.id).send("x", view=draft_view(draft_id))
    shown = await world.member.click(message, label="Edit request")
    await world.member.submit_modal(shown, {**filled_in(shown), "picture": ("p.png", photo())})
    assert await seen_in(newest(world)) == ("circle", "green", "blue")
