"""Several models in one bot, as members and admins see them: choice, prices, permissions, and what keeps its model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.playground.world import World
from tests.helpers.admins import admin_of, audited, told
from tests.helpers.credits import answer_text, credits_in_use
from tests.helpers.pictures import PROMPT, newest, rows
from tests.helpers.waiting import until
from tests.helpers.worlds import OpenWorld, restart

PLAIN, GUIDED = "Z-Image demo", "Z-Image demo guided"


@pytest.fixture
async def several(world_of: OpenWorld) -> AsyncIterator[World]:
    """A bot with two models, of which the first is the default."""
    async with world_of(profile="auto", profiles=("demo", "demo-guided")) as world:
        yield world


async def specs(world: World) -> list[dict[str, Any]]:
    return [json.loads(row["spec"]) for row in await rows(world, "SELECT spec FROM jobs ORDER BY id")]


async def models_of(world: World) -> list[str]:
    return [spec["model"] for spec in await specs(world)]


async def imagine(world: World, prompt: str = PROMPT, who: Any = None, **options: Any) -> str:
    """Run ``/imagine`` with one step; return the newest message that the member sees."""
    await (who or world.member).slash(world.channel, "imagine", prompt=prompt, **({"seed": 3, "steps": 1} | options))
    assert world.env.errors is not None
    return newest(world, who).content


async def test_a_member_chooses_the_model_by_the_option_or_the_flag(several: World) -> None:
    assert PLAIN in await imagine(several)
    assert GUIDED in await imagine(several, model="demo-guided")
    said = await imagine(several, f"{PROMPT} --model demo-guided --guidance 2 --no blue")
    assert GUIDED in said
    assert "guidance 2" in said
    assert await models_of(several) == [PLAIN, GUIDED, GUIDED]


async def test_what_the_chosen_model_does_not_take_is_refused(several: World) -> None:
    # An option is refused as its flag is, and each refusal names the model that takes it.
    for said in (await imagine(several, f"{PROMPT} --negative blur"), await imagine(several, negative="blur")):
        assert said.startswith(f"{PLAIN} does not take `--negative`: use `--model demo-guided`.\n")
    both = await imagine(several, f"{PROMPT} --guidance 2 --no blur")
    assert both.startswith(f"{PLAIN} does not take `--guidance` and `--no`: use `--model demo-guided`.\n")
    for said in (await imagine(several, f"{PROMPT} --guidance 2"), await imagine(several, guidance=2.0)):
        assert said.startswith(f"{PLAIN} does not take `--guidance`: use `--model demo-guided`.\n")
    assert "`--guidance` takes a number from 0 to 4" in await imagine(
        several, f"{PROMPT} --model demo-guided --guidance 5"
    )
    assert "`--model` takes demo or demo-guided, not “turbo”" in await imagine(several, f"{PROMPT} --model turbo")
    assert await models_of(several) == []


async def test_an_option_that_the_model_does_not_take_can_be_left_out(several: World) -> None:
    await imagine(several, guidance=2.0, negative="blur")
    await several.member.click(newest(several), label="Generate without them")
    (spec,) = await specs(several)
    assert (spec["model"], spec["guidance_scale"], spec["negative_prompt"]) == (PLAIN, 0, "")


async def test_a_refusal_says_why_the_model_is_not_the_expected_one(several: World) -> None:
    await several.member.slash(several.channel, "settings", model="demo-guided")
    await told(several, admin_of(several), "admin models deny", model="demo-guided")
    why = f"I use {PLAIN} instead of “{GUIDED}” from your /settings: you may not use that model here."
    said = await imagine(several, f"{PROMPT} --guidance 2")
    assert said.startswith(f"{PLAIN} does not take `--guidance`. {why}\n"), "the other model is not recommended"
    assert why not in await imagine(several, f"{PROMPT} --model demo --guidance 2")


async def test_what_is_refused_to_who_may_use_no_model_keeps_the_picture_s_model(several: World) -> None:
    await imagine(several, model="demo-guided", guidance=2.0)
    for model in ("demo", "demo-guided"):
        await told(several, admin_of(several), "admin models deny", model=model)
    result = next(each for each in several.channel.history() if GUIDED in each.content)
    await several.member.click(result, label="Again")
    said = newest(several).content
    assert "You may use none of my models in this server" in said
    assert "--guidance 2 --model demo-guided" in said


async def test_with_one_model_there_is_no_choice(world: World) -> None:
    tree = world.env.bot.tree
    for name in ("imagine", "edit", "settings"):
        command: Any = tree.get_command(name)
        assert "model" not in {parameter.name for parameter in command.parameters}
    admin: Any = tree.get_command("admin")
    assert admin.get_command("models") is None
    assert "There is no flag `--model`" in await imagine(world, f"{PROMPT} --model demo")
    assert PLAIN not in await imagine(world)


async def test_the_prices_of_the_models_are_said_in_credits_of_the_default_one(several: World) -> None:
    """The guided one takes 12 steps with guidance instead of 8 without."""
    listed = "Credits of a picture at the usual size and steps: demo 1, demo-guided 2.23."
    assert listed in await answer_text(several, several.member, "quota")
    text = await answer_text(several, several.member, "help")
    assert "- `demo`, Z-Image demo: coloured shapes in seconds, to try me out; 1 credit, if you name none" in text
    assert f"- `demo-guided`, {GUIDED}: coloured shapes with guidance and negative prompts; 2.23 credits" in text
    assert "--count 4`, with `demo-guided` also `--guidance 1.5` `--no blur`\n" in text, "the default takes neither"
    assert "The same prompt, model, seed, size and steps give the same picture again." in text
    await imagine(several, f"{PROMPT} --model demo-guided --guidance 0")
    guided = await credits_in_use(several)
    await imagine(several)
    assert await credits_in_use(several) == 2 * guided, "the same work costs the same, whichever model does it"


async def test_a_price_question_names_the_model_that_it_is_about(several: World) -> None:
    said = await imagine(several, count=4, steps=12, model="demo-guided")
    assert said.startswith(f"Generate 4 pictures (256×256, 12 steps, {GUIDED}) of ``{PROMPT}``? 8.92 credits")


async def test_ping_lists_the_models(several: World) -> None:
    assert f"Models: {PLAIN}, {GUIDED} on CPU: ready" in await answer_text(several, several.member, "ping")


async def test_again_vary_remix_and_details_keep_the_model(several: World) -> None:
    await imagine(several, model="demo-guided", guidance=2.0)
    result = newest(several)
    await several.member.click(result, label="Again")
    assert GUIDED in newest(several).content
    shown = await several.member.click(result, label="Vary")
    assert shown.response is not None
    await several.member.click(shown.response, label="Subtle")
    assert "subtle variation" in newest(several).content
    shown = await several.member.click(result, label="Remix")
    assert "--model demo-guided" in str(shown.modal)
    filled = {"prompt": PROMPT, "flags": "--model demo-guided --steps 1", "negative": "", "private": ["settings"]}
    await several.member.submit_modal(shown, filled)
    await several.member.send(several.channel, f"edit: {PROMPT} --steps 4 --guidance 1", reply_to=result)
    assert await models_of(several) == [GUIDED] * 5
    shown = await several.member.click(result, label="More…")
    assert shown.response is not None
    details = await several.member.click(shown.response, label="Details")
    assert "--model demo-guided" in str((details.response or details.edited).content)


async def test_a_member_has_a_default_model(several: World) -> None:
    text = await answer_text(several, several.member, "settings", model="demo-guided")
    assert "**model**: demo-guided" in text
    assert "--count 4` `--guidance 1.5` `--no blur`\n" in await answer_text(several, several.member, "help")
    assert "With demo-guided from your /settings" in await imagine(several, f"{PROMPT} --guidance 2")
    assert PLAIN in await imagine(several, model="demo")
    assert await models_of(several) == [GUIDED, PLAIN]


async def test_admins_decide_which_roles_may_use_a_model(several: World) -> None:
    admin, guild = admin_of(several), several.channel.guild
    artists = guild.create_role("artists")
    artist = guild.add_member(several.env.create_user("art"), roles=[artists])
    answer = await told(several, admin, "admin models deny", model="demo-guided")
    assert answer.content == "Nobody may use `demo-guided` unless a role of theirs allows it."
    await told(several, admin, "admin models allow", model="demo-guided", role=artists)
    said = await imagine(several, model="demo-guided")
    assert "You may not use `demo-guided` in this server; you may use `--model demo`." in said
    assert PROMPT in said
    assert several.channel.history(viewer=artist) == [], "a refusal is private"
    assert GUIDED in await imagine(several, who=artist, model="demo-guided")
    text = await answer_text(several, several.member, "help")
    assert "`demo-guided`" not in text
    assert "--guidance" not in text, "no model that the member may use takes it"
    assert "This model takes no negative prompt" in text
    shown = (await told(several, admin, "admin models show")).content
    assert f"<@&{artists.id}> may use `demo-guided`." in shown
    # Who names no model gets the first that they may use.
    await told(several, admin, "admin models clear", model="demo-guided")
    await told(several, admin, "admin models deny", model="demo")
    assert GUIDED in await imagine(several)
    assert [change.action for change in await audited(several)] == [
        "models deny",
        "models allow",
        "models clear",
        "models deny",
    ]


async def test_what_tells_of_models_says_that_a_member_may_use_none(several: World) -> None:
    admin, none = admin_of(several), "You may use none of my models in this server: ask an admin."
    await told(several, admin, "admin models deny", model="demo")
    commands = ("help", "settings", "quota")
    assert not [each for each in commands if none in await answer_text(several, several.member, each)]
    await told(several, admin, "admin models deny", model="demo-guided")
    for each in commands:
        assert (await answer_text(several, several.member, each)).startswith(f"**{none}**\n")
    assert none in await imagine(several)


async def test_a_stored_job_of_a_model_that_is_gone_fails_and_is_not_charged(several: World) -> None:
    several.env.bot.jobs.pause(several.channel.guild.id)
    await several.member.slash(several.channel, "imagine", prompt=PROMPT, model="demo-guided")
    await restart(several, profiles=(), profile="demo")
    await until(lambda: not several.env.bot.jobs.active)
    (job,) = await rows(several, "SELECT state, note FROM jobs")
    assert job["state"] == "failed"
    assert (
        f"I no longer have the model “{GUIDED}”: ask for the picture again with {PLAIN}. Nothing was charged."
        in job["note"]
    )
    assert await credits_in_use(several) == 0
