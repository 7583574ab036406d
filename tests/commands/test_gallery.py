"""The menu behind “More…”, and deleting pictures, on a simulated Discord."""

from __future__ import annotations

import discord
import pytest

from bot.playground.world import World
from tests.helpers.admins import audited
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, picture_of, rows
from tests.helpers.privacy import JUST_DATA, another_member, delete, files_in
from tests.helpers.worlds import restart


async def test_the_menu_behind_more(world: World) -> None:
    result = await drawn(world)
    await world.member.slash(world.channel, "edit", prompt=CHANGED, strength=0.9, seed=1)
    edited = newest(world)
    menu = (await world.member.click(edited, label="More…")).response.message
    details = await world.member.click(menu, label="Details")
    assert CHANGED in details.response.content
    assert "--seed 1" in details.response.content
    world.env.bot.parts.gallery.throttle.clear()
    compared = await world.member.click(menu, label="Compare")
    sheet = picture_of(await compared.response.attachments[0].read())
    assert sheet.width > 2 * 256
    world.env.bot.parts.gallery.throttle.clear()
    tree = await world.member.click(menu, label="Tree")
    assert picture_of(await tree.response.attachments[0].read()).width > 256
    answered = await world.member.click(menu, label="Tree")
    assert "ask again in two seconds" in answered.response.content
    assert result.id != edited.id


async def test_the_steps_of_a_menu_edit_one_message(world: World) -> None:
    result = await drawn(world, count=2, steps=1)
    asked = (await world.member.click(result, label="More…")).response
    ids = [row["id"] for row in await rows(world, "SELECT id FROM images ORDER BY position")]
    options = asked.components[0]["components"][0]["options"]
    assert [option["label"] for option in options] == [f"1 · seed 3 · {PROMPT}", f"2 · seed 4 · {PROMPT}"]
    await world.member.select(asked.message, [ids[1]])
    for label, said in (("Details", "--seed 4"), ("Delete", "Delete this picture?"), ("Back", "(seed 4)")):
        await world.member.click(asked.message, label=label)
        assert said in asked.content
    world.env.bot.parts.gallery.throttle.clear()
    await world.member.click(asked.message, label="Tree")
    assert asked.attachments
    await world.member.click(asked.message, label="Delete")
    assert not asked.attachments
    await world.member.click(asked.message, label="Delete this picture")
    assert asked.content == "Deleted."
    assert len(world.channel.history(viewer=world.member)) == 2


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_is_chosen_in_a_menu_leaves_no_menu(world: World, *, restarted: bool) -> None:
    result = await drawn(world, count=2, steps=1)
    ids = [row["id"] for row in await rows(world, "SELECT id FROM images ORDER BY position")]
    asked = (await world.member.click(result, label="Vary")).response
    await world.member.select(asked.message, [ids[1]])
    if restarted:
        await restart(world)
    assert asked.content == "How much may it differ?"
    await world.member.click(asked.message, label="Subtle")
    assert (len(world.channel.history(viewer=world.member)) == 2) is not restarted
    asked = (await world.member.click(result, label="Edit")).response
    shown = await world.member.select(asked.message, [ids[1]])
    before = len(world.channel.history(viewer=world.member))
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0.9"})
    assert len(world.channel.history(viewer=world.member)) == before, "the result came, the question went"


async def test_deleting_asks_once_and_is_for_the_owner_and_moderators(world: World) -> None:
    result = await drawn(world)
    await world.member.slash(world.channel, "edit", prompt=CHANGED)
    child = newest(world)
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    menu = (await stranger.click(result, label="More…")).response.message
    assert "Delete" not in [child.label for row in menu.components for child in row.children]
    (image, _) = await rows(world, "SELECT images.id, file FROM images JOIN jobs ON jobs.id = job_id ORDER BY jobs.id")
    path = world.env.bot.settings.image_dir / image["file"]
    assert path.exists()
    other_menu = (await world.member.click(result, label="More…")).response.message
    menu = (await world.member.click(result, label="More…")).response.message
    confirm = (await world.member.click(menu, label="Delete")).response.message
    assert path.exists(), "asked first"
    await world.member.click(confirm, label="Delete this picture")
    assert not path.exists()
    assert [message.id for message in world.channel.history()] == [child.id]
    answered = await world.member.click(other_menu, label="Details")
    assert answered.response.content == "This picture was deleted."
    menu = (await world.member.click(child, label="More…")).response.message
    tree = await world.member.click(menu, label="Tree")
    assert tree.response.attachments, "the child stays, its original is drawn as deleted"


async def test_one_of_several_is_taken_out_of_its_message(world: World) -> None:
    result = await drawn(world, count=2)
    ids = [row["id"] for row in await rows(world, "SELECT id FROM images ORDER BY position")]
    asked = (await world.member.click(result, label="More…")).response.message
    menu = (await world.member.select(asked, [ids[0]])).response.message
    confirm = (await world.member.click(menu, label="Delete")).response.message
    await world.member.click(confirm, label="Delete this picture")
    (message,) = world.channel.history()
    assert [ids[1] in attachment.filename for attachment in message.attachments] == [True]
    assert f"-# <@{world.member.id}> · seed 4 · " in message.content, "the seed of the deleted one went with it"
    assert [attachment.description for attachment in message.attachments] == [PROMPT], "it is no second of two"


async def test_a_picture_made_from_a_deleted_one_has_no_link_that_leads_nowhere(world: World) -> None:
    result = await drawn(world)
    await world.member.slash(world.channel, "edit", prompt=CHANGED)
    child = newest(world)
    assert (
        f"edit of https://discord.com/channels/{world.channel.guild.id}/{world.channel.id}/{result.id}" in child.content
    )
    world.env.backend.delete_message(world.channel.id, result.id)
    await world.env.settle()
    await world.member.click(child, label="Again")
    again = newest(world)
    assert again.id != child.id
    assert "https://" not in again.content


async def test_a_result_that_is_deleted_in_discord_counts_as_deleted(world: World) -> None:
    result = await drawn(world)
    (image,) = await rows(world, "SELECT file FROM images")
    world.env.backend.delete_message(world.channel.id, result.id)
    await world.env.settle()
    assert [row["state"] for row in await rows(world, "SELECT state FROM images")] == ["deleted"]
    assert not (world.env.bot.settings.image_dir / image["file"]).exists()


async def test_a_moderator_deletes_anybodys_picture(world: World) -> None:
    result = await drawn(world)
    guild = world.channel.guild
    role = guild.create_role("mods", permissions=discord.Permissions(manage_messages=True))
    moderator = guild.add_member(world.env.create_user("mod"), roles=[role])
    menu = (await moderator.click(result, label="More…")).response.message
    confirm = (await moderator.click(menu, label="Delete")).response.message
    await moderator.click(confirm, label="Delete this picture")
    assert world.channel.history() == []
    (change,) = await audited(world)
    assert (change.action, change.target, change.before) == ("moderate delete", f"<@{world.member.id}>", "1 picture")
    assert [row["state"] for row in await rows(world, "SELECT state FROM images")] == ["deleted"]


async def test_what_others_made_from_it_stays_theirs_without_the_original(world: World) -> None:
    noa = another_member(world)
    await drawn(world, steps=1)
    await noa.slash(world.channel, "edit", prompt=CHANGED)
    theirs = newest(world, noa)
    assert len(files_in(world, "sources")) == 1
    await delete(world, JUST_DATA)
    assert files_in(world, "sources") == []
    assert len(files_in(world, "images")) == 1
    await noa.click(theirs, label="Again")
    assert "no longer kept: give it again with /edit" in newest(world, noa).content
    more = await noa.click(theirs, label="More…")
    await noa.click(more.response, label="Compare")
    assert newest(world, noa).content == "The original is no longer kept, so there is nothing to compare with."
    await world.env.advance_time(3)  # free work has a pause
    await noa.click(more.response, label="Tree")
    assert picture_of(await more.response.attachments[0].read()).width > 300
