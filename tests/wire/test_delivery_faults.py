"""Faults of Discord that durable delivery has to survive: the member sees exactly one picture, or one sentence."""

from __future__ import annotations

import json

import pytest

from tests.helpers.drawing import Drawing
from tests.helpers.loopback import CHANNEL, THREAD, Call, Fault, shown
from tests.helpers.loopback.faults import rate_limit, redirect, refusal
from tests.helpers.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
CALLBACK = "interactions/.*/callback"
POSTED = r"channels/\d+/messages"
UNREADABLE = {
    "429 of Cloudflare, without JSON": rate_limit("POST", POSTED, scope="cloudflare"),
    "wrong JSON": Fault("POST", POSTED, body=b'{"id": '),
    "redirect to a page": redirect("POST", POSTED, "/portal"),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_result_is_posted_exactly_once_despite(drawing: Drawing, name: str) -> None:
    drawing.discord.faults.add(Fault(**vars(UNREADABLE[name])))
    asked = await (await drawing.ask()).ended(seconds=60)
    asked.check_one_picture()


async def test_an_answer_is_lost_and_its_nonce_forgotten(drawing: Drawing) -> None:
    """The message is there, but Discord would take a second one: the bot looks for it before the next attempt."""
    drawing.discord.faults.watch("POST", POSTED, "after", lambda _: drawing.discord.state.forget_nonces())
    drawing.discord.faults.add(Fault("POST", POSTED, drop="after"))
    drawing.discord.faults.add(Fault("POST", POSTED, status=503))
    asked = await (await drawing.ask()).ended()
    asked.check_one_picture()


async def test_an_answer_is_lost_where_the_history_cannot_be_read(drawing: Drawing) -> None:
    """Without Read Message History the bot cannot look: it posts again with the same nonce."""
    drawing.discord.deny(CHANNEL, "read_message_history")
    drawing.discord.faults.add(Fault("POST", POSTED, drop="after"))
    drawing.discord.faults.add(Fault("POST", POSTED, status=503))
    asked = await (await drawing.ask()).ended()
    asked.check_one_picture()


@pytest.mark.parametrize("name", ["503", "connection dropped before it took effect"])
async def test_discord_is_away_for_several_attempts(drawing: Drawing, name: str) -> None:
    """An outage is never explained as a missing permission."""
    fault = Fault("POST", POSTED, times=5, drop="before" if name.startswith("conn") else None)
    fault.status = int(name) if name.isdecimal() else None
    drawing.discord.faults.add(fault)
    asked = await (await drawing.ask()).ended(seconds=60)
    asked.check_one_picture()
    said = [entry.message.content for entry in drawing.discord.state.record if asked.prompt in entry.message.content]
    assert said
    assert not [text for text in said if "View Channel" in text or "Attach Files" in text]


async def test_the_member_leaves_in_the_middle(drawing: Drawing) -> None:
    asked = await drawing.ask(member="4004", steps=8, count=4)
    await until(lambda: asked.has_job)
    drawing.discord.leave("4004")
    drawing.discord.close_direct_messages("4004")
    await asked.ended()
    asked.check_one_picture()


def shows_the_result(call: Call) -> bool:
    return "zib:more:j" in json.dumps(call.body)


async def test_the_answer_to_a_private_result_is_lost(drawing: Drawing) -> None:
    """While the token lives, the response can be fetched, so that the picture is shown once."""
    drawing.discord.faults.add(Fault("PATCH", "webhooks/.*", times=2, drop="after", only=shows_the_result))
    asked = await (await drawing.ask(private=True)).ended()
    result = asked.check_one_picture()
    assert result.seen_by == "4000"


async def test_a_private_result_that_may_have_been_seen_is_not_repeated_without_its_token(drawing: Drawing) -> None:
    """Nothing can tell whether it was shown: it waits until its owner asks for it."""

    def expire(call: Call) -> None:
        if shows_the_result(call):
            drawing.discord.expire(asked.token)

    drawing.discord.faults.watch("PATCH", "webhooks/.*", "before", expire, times=100)
    drawing.discord.faults.add(Fault("PATCH", "webhooks/.*", times=None, drop="before", only=shows_the_result))
    asked = await drawing.ask(private=True)
    await until(lambda: asked.has_job and asked.job["state"] == "rendered" and asked.job["delivery_attempts"] > 0)
    await until(lambda: asked.job["due_at"] is None)
    assert asked.results == []


async def test_40005_although_the_limit_said_otherwise(drawing: Drawing) -> None:
    """Discord takes less than it said: the pictures are made smaller and posted in the same channel."""
    drawing.discord.faults.add(refusal("POST", POSTED, 40005))
    asked = await (await drawing.ask()).ended(seconds=60)
    assert asked.check_one_picture().interaction is None, "an ordinary message"


async def test_the_thread_is_archived_in_the_middle_50083(drawing: Drawing) -> None:
    """Sending unarchives it. discord.py has dropped it from its cache, so it has to be fetched."""
    asked = await drawing.ask(channel=THREAD, steps=8, count=4)
    await until(lambda: asked.has_job)
    drawing.discord.archive(THREAD)
    await asked.ended()
    assert asked.check_one_picture().interaction is None, "an ordinary message"


async def test_the_answer_to_the_first_response_is_lost(drawing: Drawing) -> None:
    """The card stands in the channel, and the bot does not know: it ends as a picture, or nothing is left of it."""
    drawing.discord.faults.add(Fault("POST", CALLBACK, drop="after"))
    asked = await drawing.ask()
    await asked.ended("delivered", "cancelled", seconds=60)
    assert len(asked.results) == (asked.job["state"] == "delivered")
    left = [each for each in drawing.discord.seen() if f"zib:cancel:{asked.job['id']}" in each.custom_ids]
    assert left == []


async def test_the_answers_to_a_card_that_answers_a_message_are_lost_again_and_again(drawing: Drawing) -> None:
    """A reply asks for an edit. Discord takes the first card, and drops what is sent again with the same nonce."""
    asked = await (await drawing.ask()).ended()
    (result,) = asked.results
    drawing.discord.faults.add(Fault("POST", POSTED, times=2, drop="after"))
    drawing.discord.faults.add(Fault("POST", POSTED, status=503))
    said = await drawing.discord.say("edit: the circle is green", reply_to=result)
    await until(lambda: drawing.rows("SELECT 1 FROM jobs WHERE source_id = ? AND state = 'delivered'", int(said.id)))
    await drawing.until_quiet()
    left = [each for each in shown(drawing.discord.state.record) if "the circle is green" in each.content]
    (edited,) = [each for each in left if each.id != said.id]
    assert edited.attachments, "the picture, and neither a card nor a refusal beside it"
