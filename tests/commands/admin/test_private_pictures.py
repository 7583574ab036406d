"""``/admin settings private_pictures:off``: every way to ask for a private picture is refused."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from bot.playground.faulty_discord import DiscordFaults
from bot.playground.world import World
from tests.helpers.admins import admin_of, another_server, audited, told
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo, rows

REFUSAL = "This server does not allow private pictures, nor pictures that are made from one."


async def forbid(world: World) -> None:
    said = (await told(world, admin_of(world), "admin settings", private_pictures="off")).content
    assert "**private_pictures**: off, every picture is public." in said


def last_said(answered: Any) -> str:
    said = answered.followups[-1] if answered.followups else answered.response
    return said.message.content


async def jobs(world: World) -> list[dict[str, Any]]:
    return await rows(world, "SELECT kind, visibility, credits FROM jobs")


async def test_the_change_is_audited(world: World) -> None:
    await forbid(world)
    (change,) = await audited(world)
    assert (change.action, change.target, change.before, change.after) == ("settings", "private_pictures", "on", "off")


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": PROMPT, "private": True},
        {"prompt": f"{PROMPT} --private"},
        {"prompt": PROMPT, "private": True, "count": 4, "size": "large"},
    ],
)
async def test_imagine_is_refused(world: World, options: dict[str, Any]) -> None:
    await forbid(world)
    answered = await world.member.slash(world.channel, "imagine", **options)
    assert answered.ephemeral
    assert REFUSAL in last_said(answered)
    assert world.env.errors is not None
    assert await jobs(world) == []
    assert await rows(world, "SELECT * FROM ledger") == []


async def test_a_private_default_is_refused_and_not_made_public(world: World) -> None:
    await world.member.slash(world.channel, "settings", private=True)
    await forbid(world)
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert REFUSAL in last_said(answered)
    assert world.env.errors is not None
    assert await jobs(world) == []
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=False)
    assert [job["visibility"] for job in await jobs(world)] == ["public"]


async def test_an_upload_cannot_be_edited_privately(world: World) -> None:
    await forbid(world)
    answered = await world.member.slash(
        world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()), private=True
    )
    assert answered.ephemeral
    assert REFUSAL in newest(world).content
    assert await jobs(world) == []
    assert world.env.errors is not None


async def test_what_was_private_before_cannot_be_changed(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True)
    result = newest(world)
    await forbid(world)
    form = await world.member.click(result, label="Edit")
    await world.member.submit_modal(form, {"prompt": CHANGED, "strength": "0.9"})
    assert REFUSAL in newest(world).content
    await world.member.click(result, label="Again")
    assert REFUSAL in newest(world).content
    assert world.env.errors is not None
    assert len(await jobs(world)) == 1


async def test_other_servers_and_direct_messages_are_as_before(world: World) -> None:
    await forbid(world)
    there, _ = another_server(world)
    member = there.guild.add_member(world.env.create_user("kim"))
    await member.slash(there, "imagine", prompt=PROMPT, private=True)
    await world.env.create_user("deo").slash("imagine", prompt=PROMPT, private=True)
    assert [job["visibility"] for job in await jobs(world)] == ["private", "private"]


async def test_an_admin_who_forbids_it_while_the_price_is_asked(world: World) -> None:
    asked = await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True, count=4, size="large")
    question = asked.response.message
    await forbid(world)
    (yes, *_) = [item for row in question.components for item in row.children if isinstance(item, discord.Button)]
    await world.member.click(question, custom_id=yes.custom_id)
    assert REFUSAL in newest(world).content
    assert world.env.errors is not None
    assert await jobs(world) == []


async def test_it_is_not_advised_where_the_bot_may_not_post(world: World) -> None:
    with DiscordFaults(world).permission_lost("attach_files"):
        for advised in (True, False):
            answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
            assert "I lack Attach Files" in last_said(answered)
            assert ("private:True" in last_said(answered)) == advised
            if advised:
                await forbid(world)
    assert world.env.errors is not None


async def test_help_does_not_offer_it(world: World) -> None:
    assert "`private`" in (await told(world, world.member, "help")).content
    await forbid(world)
    assert "private" not in (await told(world, world.member, "help")).content


async def test_public_pictures_go_on(world: World) -> None:
    await forbid(world)
    assert (await drawn(world)).attachments
