"""``/imagine`` on a simulated Discord: the real bot, the real demo model, real SQLite."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import replace
from functools import partial

import discord
import pytest

from bot.jobs.job import JobRequest
from bot.media.metadata import read_fields
from bot.playground.world import World
from bot.requests.spec import ImageOptions, build_spec
from bot.store.limits import Requester
from tests.helpers.buttons import button_labels
from tests.helpers.cards import show_card
from tests.helpers.faults import Faulty
from tests.helpers.pictures import picture_of
from tests.helpers.waiting import until
from tests.helpers.worlds import OpenWorld
from training.reading import read
from zimage_engine.types import Unit, UnitFailed

PROMPT = "a red circle on a blue background"


def shown_to(world: World, viewer: object) -> list[discord.Message]:
    return world.channel.history(viewer=viewer)


async def rows(world: World, sql: str) -> list[dict[str, object]]:
    return [dict(row) for row in await world.env.bot.database.query(sql)]


@pytest.mark.pictures
async def test_a_picture_of_what_was_asked_for_comes_into_the_channel(world: World) -> None:
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT, seed=3)
    assert not answered.deferred
    (message,) = world.channel.history()
    assert PROMPT in message.content
    for part in (f"<@{world.member.id}>", "seed 3", "256×256", "8 steps"):
        assert part in message.content
    assert message.interaction_metadata is None, "an ordinary message"
    (attachment,) = message.attachments
    assert attachment.description == PROMPT
    png = await attachment.read()
    seen = read(picture_of(png))
    assert (seen.shape, seen.colour, seen.background) == ("circle", "red", "blue")
    fields = read_fields(png)
    assert fields is not None
    assert (fields["prompt"], fields["seed"], fields["steps"]) == (PROMPT, 3, 8)
    (job,) = await rows(world, "SELECT * FROM jobs")
    assert (job["state"], job["result_message_id"], job["interaction_token"]) == ("delivered", message.id, None)
    ledger = await rows(
        world,
        "SELECT entry, credits, member_id, scope_id, device_ms FROM ledger"
        " JOIN accounts ON accounts.id = account_id ORDER BY ledger.id",
    )
    assert [(entry["entry"], entry["credits"]) for entry in ledger] == [("reserved", 100), ("settled", 100)]
    assert (ledger[1]["member_id"], ledger[1]["scope_id"]) == (world.member.id, world.channel.guild.id)
    assert ledger[1]["device_ms"] > 0
    (image,) = await rows(world, "SELECT file FROM images")
    assert (world.env.bot.settings.image_dir / image["file"]).read_bytes() == png


async def test_progress_is_shown_on_one_card_that_goes_away(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=20)
    requests = [(request.method, request.path) for request in world.env.http_requests]
    edits = [index for index, (method, path) in enumerate(requests) if method == "PATCH" and "/messages/" in path]
    posted = next(i for i, (method, path) in enumerate(requests) if method == "POST" and path.endswith("/messages"))
    removed = next(i for i, (method, path) in enumerate(requests) if method == "DELETE")
    assert edits, "the card is edited while the picture is drawn"
    assert max(edits) < posted < removed, "posted first, then the card is removed, and no edit comes after"


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("previews", [True, False])
async def test_the_card_shows_what_the_picture_looks_like_so_far(
    world_of: OpenWorld, *, previews: bool, private: bool
) -> None:
    gate = threading.Event()
    paused = partial(Faulty, unit=Unit.DECODE, gate=gate)
    async with world_of(paused, previews=previews, progress_interval=0.01) as world:
        asked = asyncio.create_task(
            world.member.slash(world.channel, "imagine", prompt=PROMPT, count=2, size="320x192", private=private)
        )
        # The first image waits for its decoding; how far the other is by then is up to the scheduler.
        await until(
            lambda: any(
                card.attachments if previews else re.search(r"[2-9]\d%|100%", card.content)
                for card in shown_to(world, world.member)
            )
        )
        (card,) = shown_to(world, world.member)
        if previews:
            (attachment,) = card.attachments
            assert (attachment.filename, attachment.content_type) == ("preview.webp", "image/webp")
            assert picture_of(await attachment.read()).size in {(256, 154), (512, 154)}, "side by side"
        else:
            assert not card.attachments
        gate.set()
        await asked
        (message,) = shown_to(world, world.member)
        assert [attachment.filename.endswith(".png") for attachment in message.attachments] == [True, True]


async def test_options_flags_and_several_images(world: World) -> None:
    prompt = "a large yellow star on a black background --ar 5:3 --seed 4294967295 --steps 4 --count 2"
    await world.member.slash(world.channel, "imagine", prompt=prompt)
    (message,) = world.channel.history()
    assert "seeds 4294967295, 0" in message.content
    assert "320×192 · 4 steps" in message.content
    assert "--" not in message.content
    pictures = [picture_of(await attachment.read()) for attachment in message.attachments]
    assert [picture.size for picture in pictures] == [(320, 192)] * 2
    assert {read(picture).background for picture in pictures} == {"black"}


async def test_what_has_no_meaning_in_a_prompt_is_noted_and_the_picture_comes(world_of: OpenWorld) -> None:
    gate = threading.Event()
    async with world_of(partial(Faulty, unit=Unit.DECODE, gate=gate), progress_interval=0.01) as world:
        asked = asyncio.create_task(world.member.slash(world.channel, "imagine", prompt=f"{PROMPT}::2 <lora:x:1>"))
        note = "-# `::2` and `<lora:…>` have no meaning here: the model reads them as words."
        await until(lambda: any("░" in card.content for card in shown_to(world, world.member)))
        (card,) = shown_to(world, world.member)
        assert note in card.content.splitlines()
        gate.set()
        await asked
        (message,) = shown_to(world, world.member)
        assert note in message.content.splitlines()
        await world.member.click(message, label="Again")
        assert "no meaning" not in shown_to(world, world.member)[-1].content


@pytest.mark.pictures
async def test_a_chinese_prompt(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt="一个红色的圆形，蓝色背景", seed=1)
    (message,) = world.channel.history()
    seen = read(picture_of(await message.attachments[0].read()))
    assert (seen.shape, seen.colour, seen.background) == ("circle", "red", "blue")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": "   "}, "The prompt is empty"),
        ({"prompt": "x" * 4001}, "4,001 characters"),
        ({"prompt": "a cat --nope 1"}, "There is no flag `--nope`; the flags here are `--ar`"),
        ({"prompt": "a cat --v 7 --niji"}, "`--v` and `--niji` work in Midjourney, not here."),
        ({"prompt": "a cat --sede 5"}, "Did you mean `--seed`?"),
        ({"prompt": "a cat --seed -1"}, "`--seed` takes a whole number from 0 to 4294967295, not “-1”."),
        ({"prompt": "a cat --seed 4294967296"}, "`--seed` takes a whole number from 0 to 4294967295"),
        ({"prompt": "a cat --count 9 --steps 99"}, "`--count` takes a whole number from 1 to 4, not “9”. `--steps`"),
        ({"prompt": "a cat --no blur"}, "does not take `--no`: say in the prompt what you want to see instead"),
        ({"prompt": "a cat --private off", "private": True}, "`--private` is given twice"),
        ({"prompt": "a cat", "size": "250x250"}, "multiples of 32"),
        ({"prompt": "a cat", "size": "256x256", "aspect": "16:9"}, "not both"),
    ],
)
async def test_what_cannot_be_done_is_one_private_sentence(world: World, options: dict, sentence: str) -> None:
    answered = await world.member.slash(world.channel, "imagine", **options)
    assert answered.ephemeral
    assert sentence in answered.response.content
    assert await rows(world, "SELECT id FROM jobs") == []
    (refused,) = world.env.errors  # a refusal is raised and answered
    assert sentence in str(refused)
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    assert shown_to(world, stranger) == []


async def test_a_negative_prompt_is_not_offered_where_the_model_has_none(world: World) -> None:
    (command,) = [c for c in world.env.bot.tree.get_commands() if c.name == "imagine"]
    assert not {"negative", "guidance"} & {parameter.name for parameter in command.parameters}


async def test_sizes_are_offered_with_their_pixels(world: World) -> None:
    choices = await world.member.autocomplete(world.channel, "imagine", "size", "", prompt="x", aspect="5:3")
    assert [choice["name"] for choice in choices] == ["medium (320x192)", "large (640x384)"]


async def test_a_private_picture_is_seen_by_its_owner_alone(world: World) -> None:
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True)
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    assert shown_to(world, stranger) == []
    (message,) = shown_to(world, world.member)
    assert message.attachments
    assert answered.ephemeral
    (job,) = await rows(world, "SELECT state, visibility FROM jobs")
    assert job == {"state": "delivered", "visibility": "private"}


async def test_a_prompt_from_midjourney_is_generated_without_its_flags(world: World) -> None:
    prompt = f"{PROMPT} --v 7 --stylize 250 —ar 5:3, --tile --niji"
    refused = await world.member.slash(world.channel, "imagine", prompt=prompt)
    assert refused.response.content.startswith(
        "`--v`, `--stylize`, `--tile` and `--niji` work in Midjourney, not here."
    )
    assert button_labels(refused.response) == ["Generate without them", "Edit request"]
    await world.member.click(refused.response, label="Generate without them")
    (message,) = world.channel.history()
    assert message.attachments[0].description == PROMPT
    assert "320×192" in message.content
    assert world.env.errors is not None


async def test_a_typing_error_in_a_flag_is_corrected_with_one_press(world: World) -> None:
    refused = await world.member.slash(world.channel, "imagine", prompt=f"{PROMPT} --sede 5", steps=4)
    assert "Did you mean `--seed`?" in refused.response.content
    await world.member.click(refused.response, label="Generate")
    (message,) = world.channel.history()
    assert "seed 5" in message.content
    assert "4 steps" in message.content
    assert world.env.errors is not None


@pytest.mark.parametrize("flag", ["--private", "—private on,"])
async def test_a_flag_asks_for_a_private_picture(world: World, flag: str) -> None:
    answered = await world.member.slash(world.channel, "imagine", prompt=f"{PROMPT} {flag}")
    assert answered.ephemeral
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    assert shown_to(world, stranger) == []
    (message,) = shown_to(world, world.member)
    assert message.attachments[0].description == PROMPT


async def test_a_flag_asks_for_a_public_picture_against_the_settings(world: World) -> None:
    await world.member.slash(world.channel, "settings", private=True)
    await world.member.slash(world.channel, "imagine", prompt=f"{PROMPT} --private off")
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    (message,) = shown_to(world, stranger)
    assert message.attachments


async def test_nothing_in_a_prompt_comes_alive(world: World) -> None:
    nasty = "@everyone <@1> **bold** https://evil.example ``` <t:0:R> ` [a](https://b.example)"
    await world.member.slash(world.channel, "imagine", prompt=nasty)
    (message,) = world.channel.history()
    stored = world.env.backend.messages[world.channel.id][message.id]
    assert not stored.mention_everyone
    assert not stored.ping_user_ids
    code = message.content.splitlines()[0]
    assert code.startswith("``@everyone <@1> **bold** https://evil.example")
    assert code.endswith("``")
    assert "``" not in code[2:-2], "the fence holds"
    assert message.flags.suppress_embeds


async def test_a_long_prompt_is_cut_in_the_message_and_the_alt_text(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt="a red circle, " * 280)
    (message,) = world.channel.history()
    assert len(message.content) <= 2000
    assert "…``" in message.content
    assert "its end had no effect" in message.content
    assert len(message.attachments[0].description or "") <= 1024


async def test_two_members_at_once_each_get_their_own(world: World) -> None:
    other = world.channel.guild.add_member(world.env.create_user("noa"))
    await asyncio.gather(
        world.member.slash(world.channel, "imagine", prompt="a red circle on a blue background --count 2"),
        _later(partial(other.slash, world.channel, "imagine", prompt="a green square on a white background")),
    )
    messages = world.channel.history()
    by_owner = {owner.id: next(m for m in messages if f"<@{owner.id}>" in m.content) for owner in (world.member, other)}
    assert read(picture_of(await by_owner[world.member.id].attachments[0].read())).background == "blue"
    assert read(picture_of(await by_owner[other.id].attachments[0].read())).background == "white"


async def _later(act) -> None:
    """Try until the first action allows it: SimCord runs one action at a time."""
    while True:
        try:
            await act()
        except Exception as error:
            if "overlaps" not in str(error):
                raise
            await asyncio.sleep(0.05)
        else:
            return


async def test_an_engine_error_is_one_sentence_on_the_card_and_costs_nothing(world_of: OpenWorld) -> None:
    broken = partial(Faulty, unit=Unit.DENOISE, error=UnitFailed("The model failed on this picture."))
    async with world_of(broken) as world:
        await world.member.slash(world.channel, "imagine", prompt=PROMPT)
        (message,) = world.channel.history()
        assert PROMPT in message.content, "it can be copied from there"
        assert button_labels(message) == ["Edit request"]
        assert "The model failed on this picture. Nothing was charged. (error " in message.content
        (job,) = await rows(world, "SELECT state, error_code FROM jobs")
        assert job == {"state": "failed", "error_code": "unit_failed"}
        ledger = await rows(world, "SELECT entry, credits FROM ledger ORDER BY id")
        assert ledger[-1] == {"entry": "given_back", "credits": 100}


async def test_a_command_while_the_model_loads_waits_for_it(world_of: OpenWorld) -> None:
    gate = threading.Event()

    def slow(worker):
        gate.wait(30)
        return worker

    async with world_of(slow, load=False) as world:
        asked = asyncio.create_task(world.member.slash(world.channel, "imagine", prompt=PROMPT))
        await until(lambda: bool(world.channel.history()))
        await until(lambda: "The model started loading <t:" in world.channel.history()[0].content)
        gate.set()
        await asked
        (message,) = world.channel.history()
        assert message.attachments


async def test_cancelling_charges_what_was_done(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    slow = partial(Faulty, unit=Unit.DENOISE, gate=gate, entered=entered)
    async with world_of(slow) as world:
        client = world.env.bot
        asked = asyncio.create_task(world.member.slash(world.channel, "imagine", prompt=PROMPT))
        await until(entered.is_set)
        (job_id,) = client.jobs.active
        assert client.jobs.request_of(job_id).owner_id == world.member.id
        await client.jobs.cancellation.cancel(job_id)
        gate.set()
        await asked
        (message,) = shown_to(world, world.member)
        assert message.content == f"Cancelled: ``{PROMPT}``. 0.09 credits for the part already done."
        (job,) = await rows(world, "SELECT state FROM jobs")
        assert job["state"] == "cancelled"
        ledger = await rows(world, "SELECT entry, credits FROM ledger ORDER BY id")
        assert ledger[1:] == [{"entry": "settled", "credits": 9}, {"entry": "given_back", "credits": 91}]


async def test_if_the_permission_to_post_is_lost_meanwhile_the_picture_comes_as_the_answer(world: World) -> None:
    world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=403, code=50013)
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert answered.response.attachments
    (job,) = await rows(world, "SELECT state FROM jobs")
    assert job["state"] == "delivered"


async def test_in_direct_messages(world: World) -> None:
    await world.member.user.slash("imagine", prompt=PROMPT)
    messages = [m for m in world.member.user.dm_channel.history() if m.attachments]
    assert len(messages) == 1
    (job,) = await rows(world, "SELECT scope_id, guild_id FROM jobs")
    assert job == {"scope_id": 0, "guild_id": None}


async def test_a_command_that_discord_no_longer_takes_an_answer_to_costs_nothing(world: World) -> None:
    world.env.inject_error("POST", "/interactions/*", status=404, code=10062, times=1)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    (job,) = await rows(world, "SELECT state, error_code FROM jobs")
    assert job == {"state": "cancelled", "error_code": "not_acknowledged"}
    ledger = await rows(world, "SELECT entry, credits FROM ledger ORDER BY id")
    assert ledger[1:] == [{"entry": "settled", "credits": 0}, {"entry": "given_back", "credits": 100}]
    assert not world.env.bot.jobs.active


async def test_a_duplicate_event_does_nothing(world: World) -> None:
    jobs = world.env.bot.jobs
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    (row,) = await rows(world, "SELECT source_id FROM jobs")
    spec, count = build_spec(ImageOptions(PROMPT), world.env.bot.engine.profile, max_count=4)
    request = JobRequest(0, spec, count, Requester(world.member.id, 1, 1), world.channel.id, "public", None)
    assert await jobs.run(replace(request, event_id=row["source_id"]), show_card) is None
    assert len(await rows(world, "SELECT id FROM jobs")) == 1


async def test_servers_that_are_not_allowed_are_told_so(world_of: OpenWorld) -> None:
    async with world_of(allowed_guilds=frozenset({1})) as world:
        answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
        assert answered.ephemeral
        assert "serves other servers only" in answered.response.content
        assert answered.response.content.endswith(f"\n``{PROMPT}``")
        assert await rows(world, "SELECT id FROM jobs") == []
