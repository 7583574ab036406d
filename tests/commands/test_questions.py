"""Questions before something costly: who may answer, and when a question is over."""

from __future__ import annotations

import pytest

from bot.playground.world import World
from bot.views.questions import question_view
from tests.helpers.admins import admin_of, told
from tests.helpers.buttons import button_labels, filled_in
from tests.helpers.credits import answer_text, count_jobs, credits_in_use
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo
from tests.helpers.worlds import restart


async def test_a_role_that_is_taken_away_counts_no_longer_not_even_for_an_open_question(world: World) -> None:
    ada = admin_of(world)
    guild = world.channel.guild
    artists = guild.create_role("Artists")
    fay = guild.add_member(world.env.create_user("fay"), roles=[artists])
    await answer_text(world, ada, "admin limits set", target=artists, limit="credits_per_day", value="20")
    await answer_text(world, ada, "admin limits set", target=guild.default_role, limit="credits_per_day", value="1")
    asked = await fay.slash(world.channel, "imagine", prompt=PROMPT, count=4, steps=12)
    assert asked.response.content.startswith(
        f"Generate 4 pictures (256×256, 12 steps) of ``{PROMPT}``? 5.24 credits; you have 20. About "
    )
    world.env.backend.remove_member_role(guild.id, fay.id, artists.id)
    answered = await fay.click(asked.response, label="Generate")
    assert "This costs 5.24 credits, and you have 1 in 24 hours" in answered.response.content
    assert world.env.errors is not None
    assert await count_jobs(world) == 0


async def test_cancel_draws_nothing_and_gives_the_request_back(world: World) -> None:
    asked = await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=4, steps=9)
    (question_id,) = world.env.bot.parts.questions.open_ids
    await world.member.click(asked.response, label="Cancel")
    assert await count_jobs(world) == 0
    (left,) = world.channel.history(viewer=world.member)
    assert left.content == f"Cancelled, and nothing was charged.\n``{PROMPT} --count 4 --steps 9``"
    assert button_labels(left) == ["Edit request"]
    assert question_id not in world.env.bot.parts.questions.open_ids


async def test_a_second_click_on_yes_is_silent(world: World) -> None:
    asked = await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=4, steps=9)
    (question_id,) = world.env.bot.parts.questions.open_ids
    view = question_view(question_id, 1)
    again = await world.env.bot.get_channel(world.channel.id).send("x", view=view)  # the question itself is gone then
    await world.member.click(asked.response, label="Generate")
    answered = await world.member.click(again, label="Generate")
    assert answered.deferred
    assert await count_jobs(world) == 1
    assert world.channel.history()[0].content == "x", "nothing is said of a question that is over"


COSTLY_EDIT = f"edit: {CHANGED} --count 4 --steps 20 --strength 0.9"


async def test_an_edit_by_reply_asks_its_member_alone(world: World) -> None:
    result = await drawn(world, steps=8)
    await world.member.send(world.channel, COSTLY_EDIT, reply_to=result)
    lead = newest(world)
    assert lead.content == "I have a question before I start. Only you will see it."
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    refused = await noa.click(lead, label="See the question")
    assert "Only the member who was asked" in refused.response.content
    for _ in range(2):
        shown = await world.member.click(lead, label="See the question")
        assert shown.ephemeral
    question = newest(world)
    assert question.content.startswith(
        f"Generate 4 pictures (256×256, 20 steps) of ``{CHANGED}``? 7.8 credits; you have 49. About "
    )
    assert [message.id for message in world.channel.history(viewer=world.member)][-2:] == [lead.id, question.id]
    await world.member.click(question, label="Generate")
    public = world.channel.history(viewer=noa)
    assert len(public[-1].attachments) == 4
    assert not [message for message in public if "credits" in message.content or message.id == lead.id]
    assert question.id not in [message.id for message in world.channel.history(viewer=world.member)]
    assert await credits_in_use(world) == 880
    assert world.env.errors is not None


async def test_an_edit_by_reply_can_be_cancelled(world: World) -> None:
    result = await drawn(world)
    await world.member.send(world.channel, COSTLY_EDIT, reply_to=result)
    lead = newest(world)
    await world.member.click(lead, label="See the question")
    await world.member.click(newest(world), label="Cancel")
    assert newest(world).content.startswith(f"Cancelled, and nothing was charged.\n``{CHANGED}")
    assert button_labels(newest(world)) == ["Edit request"]
    assert lead.id not in [message.id for message in world.channel.history(viewer=world.member)]
    assert await count_jobs(world) == 1


async def test_an_edit_by_reply_can_be_changed(world: World) -> None:
    result = await drawn(world)
    await world.member.send(world.channel, COSTLY_EDIT, reply_to=result)
    lead = newest(world)
    await world.member.click(lead, label="See the question")
    question = newest(world)
    shown = await world.member.click(question, label="Change")
    assert len(world.env.bot.parts.questions.open_ids) == 1, "it can still be answered if the form is closed"
    await world.member.submit_modal(shown, filled_in(shown) | {"prompt": f"{CHANGED} --strength 0.9"})
    assert not {lead.id, question.id} & {message.id for message in world.channel.history(viewer=world.member)}
    assert len(newest(world).attachments) == 1
    assert await count_jobs(world) == 2


async def test_an_edit_by_direct_message_is_asked_about_there(world: World) -> None:
    user = world.member.user
    stored = world.env.backend.store_attachments(user.dm_channel.id, [("p.png", photo())])
    await user.send_dm(f"{CHANGED} --count 4 --steps 12 --strength 0.9", attachments=stored)
    assert user.dm_channel.history()[-1].content.startswith("Generate 4 pictures (256×256, 12 steps) of")


@pytest.mark.parametrize("private", [False, True])
async def test_a_question_about_an_edit_is_seen_by_its_member_alone(world: World, *, private: bool) -> None:
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    image = ("photo.png", photo())
    await world.member.slash(
        world.channel, "edit", prompt=CHANGED, image=image, count=4, steps=20, strength=0.9, private=private
    )
    assert newest(world).content.startswith("Generate 4 pictures")
    assert world.channel.history(viewer=noa) == []


async def test_an_unanswered_question_to_a_reply_leaves_nothing_in_the_channel(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.commands.questions._SECONDS", 1)  # the loop's own timer, which the simulation waits for
    result = await drawn(world)
    asked = await world.member.send(world.channel, COSTLY_EDIT, reply_to=result)
    await world.env.advance_time(2)
    assert [message.id for message in world.channel.history()] == [result.id, asked.id]


async def test_an_unanswered_question_ends_and_gives_the_request_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.commands.questions._SECONDS", 1)  # the loop's own timer, which the simulation waits for
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=4, steps=9)
    assert len(world.channel.history(viewer=world.member)) == 1
    await world.env.advance_time(2)
    (left,) = world.channel.history(viewer=world.member)
    assert left.content.startswith("This question has expired, and nothing was charged.\n")
    assert PROMPT in left.content
    assert button_labels(left) == ["Edit request"]
    assert await count_jobs(world) == 0


async def test_a_question_says_which_settings_were_applied_and_goes_with_their_data(world: World) -> None:
    await answer_text(world, world.member, "settings", count=4, size="large")
    asked = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert asked.response.content.endswith(" once it starts.\n-# With large, 4 pictures from your /settings.")
    confirm = await told(world, world.member, "privacy delete")
    await world.member.click(confirm, label="Delete my data")
    assert world.env.bot.parts.questions.open_ids == []


async def test_a_question_that_a_restart_has_ended_still_shows_the_prompt(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=4, steps=12)
    await restart(world)
    (question,) = world.channel.history(viewer=world.member)
    await world.member.click(question, label="Generate")
    (question,) = world.channel.history(viewer=world.member)
    assert PROMPT in question.content
    assert question.content.endswith("\nThis question has expired, and nothing was charged.")
    assert button_labels(question) == ["Edit request"]
    shown = await world.member.click(question, label="Edit request")
    assert filled_in(shown)["flags"] == "--count 4 --steps 12"
    assert await count_jobs(world) == 0
