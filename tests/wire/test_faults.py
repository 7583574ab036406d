"""Faults of Discord, one by one: what the member sees afterwards is exactly one picture, or one sentence."""

from __future__ import annotations

import asyncio

import pytest

from tests.helpers.drawing import Drawing
from tests.helpers.loopback import CHANNEL, TEXT_CHANNELS, Fault
from tests.helpers.loopback.faults import rate_limit, redirect, refusal
from tests.helpers.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
POSTED = r"channels/\d+/messages"
CALLBACK = "interactions/.*/callback"
EDITED_CARD = r"webhooks/.*/messages/\d+"
DOWN = {
    "429 with bucket headers": rate_limit("POST", POSTED),
    "429 without bucket headers": rate_limit("POST", POSTED, scope="shared"),
    "global 429": rate_limit("POST", POSTED, scope="global"),
    "500": Fault("POST", POSTED, status=500),
    "502": Fault("POST", POSTED, status=502, body=b"<html>Bad Gateway</html>", headers={"Content-Type": "text/html"}),
    "503": Fault("POST", POSTED, status=503),
    "connection dropped before it took effect": Fault("POST", POSTED, drop="before"),
    "connection dropped after it took effect": Fault("POST", POSTED, drop="after"),
    "slow answer": Fault("POST", POSTED, seconds=1.0),
}
UNREADABLE = {
    "429 of Cloudflare, without JSON": rate_limit("PATCH", EDITED_CARD, scope="cloudflare"),
    "wrong JSON": Fault("PATCH", EDITED_CARD, body=b'{"id": '),
    "redirect to a page": redirect("PATCH", EDITED_CARD, "/portal"),
    "redirect in a circle, whose error has the URL with the token": redirect("PATCH", EDITED_CARD, "?again", times=20),
}


@pytest.mark.parametrize("name", DOWN)
async def test_a_result_is_posted_exactly_once_despite(drawing: Drawing, name: str) -> None:
    fault = DOWN[name]
    drawing.discord.faults.add(Fault(**vars(fault)))
    asked = await (await drawing.ask()).ended(seconds=60)
    asked.check_one_picture()


@pytest.mark.parametrize("name", [*DOWN, *UNREADABLE])
async def test_a_card_that_cannot_be_edited_does_not_hold_up_the_picture(drawing: Drawing, name: str) -> None:
    fault = Fault(**vars((DOWN | UNREADABLE)[name]) | {"method": "PATCH", "path": EDITED_CARD})
    drawing.discord.faults.add(fault)
    asked = await (await drawing.ask(steps=8, count=2)).ended(seconds=60)
    asked.check_one_picture()


@pytest.mark.parametrize("code", [50013, 50001, 10003])
async def test_the_channel_refuses_the_result_with(drawing: Drawing, code: int) -> None:
    """A permission lost in the middle, or a channel that is gone: the result goes another way, once."""
    drawing.discord.faults.add(refusal("POST", f"channels/{CHANNEL}/messages", code))
    asked = await (await drawing.ask()).ended()
    asked.check_one_picture()


async def test_the_permission_is_lost_in_the_middle(drawing: Drawing) -> None:
    drawing.discord.faults.watch(
        "POST", CALLBACK, "after", lambda _: drawing.discord.deny(TEXT_CHANNELS[1], "send_messages")
    )
    asked = await (await drawing.ask(channel=TEXT_CHANNELS[1])).ended()
    asked.check_one_picture()


async def test_the_channel_is_deleted_in_the_middle(drawing: Drawing) -> None:
    """The picture goes to the member's direct messages."""
    asked = await drawing.ask(channel=TEXT_CHANNELS[2], steps=8, count=4)
    await until(lambda: asked.has_job and asked.job["progress_message_id"] is not None)
    drawing.discord.delete_channel(TEXT_CHANNELS[2])
    await asked.ended()
    direct = drawing.discord.state.conversation("4000").id
    asked.check_one_picture(direct)


async def test_a_late_command_10062_makes_no_picture_and_costs_nothing(drawing: Drawing) -> None:
    asked = await drawing.ask(late=True)
    await until(lambda: bool(drawing.discord.made("POST", f"interactions/.*/{asked.token}/callback")))
    await asked.ended("cancelled")
    assert asked.ledger["given_back"] == asked.ledger["reserved"]
    assert asked.results == []


async def test_an_interaction_that_was_answered_elsewhere_40060_makes_no_picture(drawing: Drawing) -> None:
    drawing.discord.faults.add(refusal("POST", CALLBACK, 40060))
    asked = await drawing.ask()
    await asked.ended("cancelled")
    assert asked.ledger["given_back"] == asked.ledger["reserved"]
    assert asked.results == []


@pytest.mark.parametrize("name", ["500", "503", "connection dropped before it took effect"])
async def test_a_command_is_answered_or_refused_with_nothing_left_despite(drawing: Drawing, name: str) -> None:
    fault = Fault(**vars(DOWN[name]) | {"path": CALLBACK})
    drawing.discord.faults.add(fault)
    asked = await drawing.ask()
    await asked.ended("delivered", "cancelled", seconds=60)
    assert len(asked.results) == (asked.job["state"] == "delivered")
    assert asked.card is None


async def test_a_proxy_that_redirects_every_answer_gets_no_token_into_the_log(drawing: Drawing) -> None:
    """The fixture ``logs`` looks for it. What the commands become is another test's matter."""
    discord = drawing.discord
    discord.faults.add(redirect("POST", CALLBACK, "?again", status=307, times=None))
    discord.faults.add(redirect("POST|PATCH|DELETE|GET", "webhooks/.*", "?again", status=307, times=None))
    asked = await drawing.ask()
    await discord.command("queue")
    await discord.command("edit", prompt="a walrus in a red coat", source="nothing")
    await until(lambda: len(discord.made("POST", CALLBACK)) > 30)
    discord.faults.clear()
    await asked.ended("delivered", "cancelled", seconds=60)


async def test_the_card_is_deleted_in_the_middle_10008(drawing: Drawing) -> None:
    asked = await drawing.ask(steps=8, count=4)
    await until(lambda: asked.has_job and asked.card is not None)
    card = asked.card
    assert card is not None
    drawing.discord.delete_message(card)
    await asked.ended("cancelled")
    assert asked.results == []


@pytest.mark.parametrize("unknown", [False, True])
async def test_the_token_expires_while_the_picture_is_drawn(drawing: Drawing, *, unknown: bool) -> None:
    """The card is a message of the channel, too: it is edited and removed as one."""
    asked = await drawing.ask(steps=8, count=4)
    await until(lambda: asked.has_job and asked.card is not None)
    drawing.discord.expire(asked.token, unknown=unknown)
    await asked.ended()
    asked.check_one_picture()


async def test_the_channel_and_the_direct_messages_are_closed_50007(drawing: Drawing) -> None:
    """Nobody can be reached: the picture is kept, and the card says that it could not be posted."""
    drawing.discord.close_direct_messages("4000")
    drawing.discord.faults.add(refusal("POST", POSTED, 50013, times=None))
    drawing.discord.faults.add(refusal("PATCH", EDITED_CARD, 50027, times=None))
    asked = await drawing.ask()
    await until(lambda: asked.has_job and asked.job["state"] == "rendered" and asked.job["delivery_attempts"])
    assert asked.results == []
    assert "settled" not in asked.ledger


async def beat_fast(drawing: Drawing) -> None:
    """Make the next connection one that the bot gives up after half a second of silence, not after a minute."""
    gateway = drawing.discord.gateway
    gateway.heartbeat_interval, resumed = 0.1, gateway.resumed
    gateway.ask_to_reconnect()
    await until(lambda: gateway.resumed > resumed)
    keep_alive = drawing.client._connection._get_websocket(shard_id=0)._keep_alive
    assert keep_alive is not None
    keep_alive.heartbeat_timeout = 0.5
    gateway.heartbeat_interval = 41.25


@pytest.mark.parametrize(
    "event", ["op 7", "invalid session, resumable", "invalid session", "connection closed", "zombie heartbeat"]
)
async def test_the_gateway_comes_back_after(drawing: Drawing, event: str) -> None:
    gateway = drawing.discord.gateway
    resumed, identified = gateway.resumed, gateway.identified
    if event == "op 7":
        gateway.ask_to_reconnect()
    elif event == "connection closed":
        await gateway.disconnect()
    elif event == "zombie heartbeat":
        await beat_fast(drawing)
        resumed = gateway.resumed
        gateway.acknowledging = False
    else:
        gateway.invalidate(resumable=event.endswith("resumable"))
    during = await drawing.ask()
    await until(lambda: gateway.connected and (gateway.resumed, gateway.identified) != (resumed, identified))
    if gateway.resumed > resumed:  # what was missed is sent again
        (await during.ended()).check_one_picture()
    (await (await drawing.ask()).ended()).check_one_picture()
    assert (gateway.identified > identified) == (event == "invalid session")


async def test_a_duplicate_event_makes_no_second_picture(drawing: Drawing) -> None:
    asked = await drawing.ask(steps=8)
    drawing.discord.gateway.repeat("INTERACTION_CREATE")
    await asked.ended()
    drawing.discord.gateway.repeat("INTERACTION_CREATE")
    after = await (await drawing.ask()).ended()
    after.check_one_picture()
    asked.check_one_picture()


async def test_events_that_come_late_and_together_are_all_handled(drawing: Drawing) -> None:
    drawing.discord.gateway.hold()
    all_asked = [await drawing.ask() for _ in range(3)]
    await asyncio.sleep(0.1)
    drawing.discord.gateway.release()
    for asked in all_asked:
        (await asked.ended()).check_one_picture()


async def test_a_command_that_only_discord_still_shows_is_not_called_a_fault(drawing: Drawing) -> None:
    """Clients show the commands of the last version until they are started anew."""
    token = await drawing.discord.command("doodle", channel=CHANNEL)
    await until(lambda: drawing.discord.state.interactions[token].original_id is not None, 10)
    answer = drawing.discord.state.messages[drawing.discord.state.interactions[token].original_id or ""]
    assert answer.content == "I no longer have this command: restart Discord (Ctrl+R) to see those that I have."
    assert answer.seen_by is not None
