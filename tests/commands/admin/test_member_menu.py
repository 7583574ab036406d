"""*Apps → Limits* on a member: what an admin sees there and can do, and who cannot."""

from __future__ import annotations

from typing import Any

import discord
import pytest
import simcord

from bot.playground.world import World
from tests.helpers.admins import (
    admin_of,
    another_server,
    ask,
    audited,
    blocks_in,
    demote,
    labels,
    moderator_of,
    told,
)
from tests.helpers.pictures import drawn, rows
from tests.helpers.worlds import restart


async def opened(world: World, who: Any, member: Any = None) -> discord.Message:
    answered = await who.context_menu(world.channel, "Limits", member or world.member)
    assert answered.ephemeral
    return answered.response.message


def shown(world: World, who: Any, message: discord.Message) -> discord.Message:
    """The message as it is now."""
    (found,) = [each for each in world.channel.history(viewer=who) if each.id == message.id]
    return found


FIELDS = {
    "credits_per_day": "50",
    "concurrent_jobs": "3",
    "queued_jobs": "10",
    "max_pixels": "409,600",
    "max_count": "4",
}


async def test_it_shows_use_and_limits(world: World) -> None:
    await drawn(world, steps=8)
    message = await opened(world, admin_of(world))
    assert f"<@{world.member.id}> in this server" in message.content
    assert "1 of 50 used" in message.content
    assert labels(message) == ["Change limits", "Reset credits", "Block"]


async def test_the_form_holds_what_is_in_force_and_only_changes_are_set(world: World) -> None:
    ada = admin_of(world)
    await told(world, ada, "admin limits set", target=world.member, limit="queued_jobs", value="2")
    message = await opened(world, ada)
    form = await ada.click(message, label="Change limits")
    filled = {item.component.custom_id: item.component.default for item in await fields(world)}
    assert filled == FIELDS | {"queued_jobs": "2"}
    await ada.submit_modal(form, FIELDS | {"credits_per_day": "7.5", "max_count": "1", "queued_jobs": ""})
    changes = [(each.action, each.target, each.before, each.after) for each in (await audited(world))[1:]]
    whom = f"<@{world.member.id}>"
    assert sorted(changes) == [
        ("limits clear queued_jobs", whom, "2", "not set"),
        ("limits set credits_per_day", whom, "not set", "7.5"),
        ("limits set max_count", whom, "not set", "1"),
    ]
    assert "7.5" in shown(world, ada, message).content


async def fields(world: World) -> Any:
    """The fields of the form that is open."""
    (modal,) = world.env.bot._connection._view_store._modals.values()
    return modal.children


async def test_one_wrong_value_changes_nothing(world: World) -> None:
    ada = admin_of(world)
    form = await ada.click(await opened(world, ada), label="Change limits")
    refused = await ada.submit_modal(form, FIELDS | {"credits_per_day": "7.5", "max_count": "many"})
    assert "“many” is not a value for" in refused.response.content
    assert len(world.env.errors) == 1
    assert await audited(world) == []


async def test_credits_are_reset(world: World) -> None:
    await drawn(world)
    ada = admin_of(world)
    message = await opened(world, ada)
    await ada.click(message, label="Reset credits")
    assert "0 of 50 used" in shown(world, ada, message).content
    await ada.click(message, label="Reset credits")
    assert "No credits were used" in shown(world, ada, message).content
    (change,) = await audited(world)
    assert (change.action, change.member_id) == ("reset", world.member.id)


async def test_a_member_is_blocked_and_unblocked_also_after_a_restart(world: World) -> None:
    ada = admin_of(world)
    message = await opened(world, ada)
    form = await ada.click(message, label="Block")
    await ada.submit_modal(form, {"for": "1h", "reason": "noise"})
    (block,) = await blocks_in(world)
    assert (block.member_id, block.reason) == (world.member.id, "noise")
    assert block.until is not None
    assert "You are blocked" in await ask(world)
    assert labels(shown(world, ada, message))[-1] == "Unblock"
    await restart(world)
    await ada.click(message, label="Unblock")
    assert await blocks_in(world) == []
    assert [each.action for each in await audited(world)] == ["block", "unblock"]


@pytest.mark.parametrize("what", ["limits", "reset", "block", "unblock"])
async def test_who_is_no_admin_any_more_can_do_nothing(world: World, what: str) -> None:
    ada = admin_of(world)
    if what == "unblock":
        await told(world, ada, "admin block", member=world.member)
    before = await audited(world)
    message = await opened(world, ada)
    demote(world, ada)
    refused = await ada.click(message, custom_id=f"zib:member-{what}:m{world.member.id}")
    assert refused.modal is None
    assert "Only admins of this server" in refused.response.content
    assert await audited(world) == before


async def test_a_form_that_was_open_when_the_right_was_taken_changes_nothing(world: World) -> None:
    ada = admin_of(world)
    message = await opened(world, ada)
    limits, block = await ada.click(message, label="Change limits"), await ada.click(message, label="Block")
    demote(world, ada)
    for form, values in ((limits, FIELDS | {"max_count": "1"}), (block, {"for": "", "reason": ""})):
        refused = await ada.submit_modal(form, values)
        assert "Only admins of this server" in refused.response.content
    assert len(world.env.errors) == 2
    assert await audited(world) == []


async def test_only_admins_have_it_and_it_is_not_for_bots(world: World) -> None:
    for who in (world.member, moderator_of(world)):
        with pytest.raises(simcord.SetupError, match="not visible"):
            await who.context_menu(world.channel, "Limits", world.member)
    robot = world.channel.guild.add_member(world.env.create_user("robot", bot=True))
    answered = await admin_of(world).context_menu(world.channel, "Limits", robot)
    assert "Bots cannot ask for pictures" in answered.response.content
    assert world.env.errors is not None


async def test_an_admin_of_another_server_changes_nothing_here(world: World) -> None:
    """The button names the member; the server is the one where it is pressed."""
    there, eve = another_server(world)
    mira = there.guild.add_member(world.member.user)
    answered = await eve.context_menu(there, "Limits", mira)
    form = await eve.click(answered.response.message, label="Block")
    await eve.submit_modal(form, {"for": "", "reason": ""})
    assert await blocks_in(world) == []
    assert [block.member_id for block in await blocks_in(world, there.guild.id)] == [world.member.id]
    assert await rows(world, "SELECT * FROM limits") == []
