"""Editing on a simulated Discord: ``/edit``, the buttons, the right click, and what each of them may not do."""

from __future__ import annotations

import discord
import pytest
from PIL import Image

from bot.media.metadata import read_fields
from bot.playground.world import World
from bot.views.results import RESULT_ITEMS
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo, picture_of, png, rows, seen_in
from tests.helpers.worlds import restart


async def test_edit_with_an_attachment(world: World) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()), strength=0.9, seed=1)
    (message,) = world.channel.history()
    assert await seen_in(message) == ("circle", "green", "blue")
    assert "strength 0.9" in message.content
    (job,) = await rows(world, "SELECT kind, parent_image_id, spec, state FROM jobs")
    assert (job["kind"], job["parent_image_id"], job["state"]) == ("edit", None, "delivered")
    fields = read_fields(await message.attachments[0].read())
    assert fields is not None
    assert (fields["prompt"], fields["strength"]) == (CHANGED, 0.9)


async def test_edit_without_anything_takes_the_newest_here_and_links_it(world: World) -> None:
    result = await drawn(world)
    await world.member.slash(world.channel, "edit", prompt=CHANGED)
    edited = newest(world)
    assert f"edit of {result.jump_url}" in edited.content
    first, second = await rows(
        world, "SELECT images.id, parent_image_id FROM images JOIN jobs ON jobs.id = job_id ORDER BY jobs.id"
    )
    assert second["parent_image_id"] == first["id"]


async def test_edit_where_there_is_nothing_says_how(world: World) -> None:
    answered = await world.member.slash(world.channel, "edit", prompt=CHANGED)
    assert answered.ephemeral
    assert "I see no picture to edit: give one with the image option" in answered.response.content
    assert len(world.env.errors) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"image": ("notes.txt", b"no picture at all")}, "PNG"),
        ({"image": ("empty.png", b"")}, ""),
        ({"image": ("photo.png", photo()), "source": "https://example.org"}, "Give either image or source"),
        ({"source": "https://discord.com/channels/1/2/3"}, "not in this server"),
        ({"source": "my cat"}, "Give the link of a message"),
        ({"source": "0123456789ab"}, "I know no such picture here."),
        ({"image": ("photo.png", photo()), "mask": ("mask.png", png(Image.new("L", (300, 100))))}, "mask"),
        ({"image": ("photo.png", photo()), "mask": ("mask.png", png(Image.new("L", (256, 256))))}, ""),
    ],
)
async def test_what_cannot_be_edited_is_one_sentence_and_no_job(world: World, options: dict, sentence: str) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, **options)
    said = newest(world)
    assert sentence in said.content
    assert not said.attachments
    assert await rows(world, "SELECT id FROM jobs") == []
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    assert world.channel.history(viewer=stranger) == [], "nothing of it is left in public"
    assert world.env.errors is not None  # refusals of a command are raised and answered


async def test_edit_with_a_mask_leaves_the_rest_as_it_was(world: World) -> None:
    mask = Image.new("L", (256, 256))
    mask.paste(255, (96, 96, 160, 160))
    before = photo()
    await world.member.slash(
        world.channel, "edit", prompt=CHANGED, image=("photo.png", before), mask=("mask.png", png(mask))
    )
    after = picture_of(await newest(world).attachments[0].read())
    outside = (0, 0, 256, 90)
    assert after.crop(outside).tobytes() == picture_of(before).crop(outside).tobytes()
    assert after.tobytes() != picture_of(before).tobytes()


async def test_a_photo_of_another_shape_is_fitted(world: World) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("p.png", photo((500, 300))))
    assert picture_of(await newest(world).attachments[0].read()).size == (320, 192)


async def test_private_stays_private(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True)
    (secret,) = world.channel.history(viewer=world.member)
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    (image,) = await rows(world, "SELECT id FROM images")
    await world.member.slash(world.channel, "edit", prompt=CHANGED, source=image["id"])
    assert world.channel.history(viewer=stranger) == []
    jobs = await rows(world, "SELECT visibility, parent_image_id FROM jobs ORDER BY id")
    assert [job["visibility"] for job in jobs] == ["private", "private"]
    assert "edit of" not in newest(world).content, "no link leads to what is private"
    answered = await stranger.slash(world.channel, "edit", prompt=CHANGED, source=image["id"])
    assert answered.response.content == "I know no such picture here."
    answered = await stranger.slash(world.channel, "edit", prompt=CHANGED)
    assert "I see no picture to edit" in answered.response.content, "others' private pictures are no default"
    assert len(world.env.errors) == 2
    assert secret.attachments


async def test_the_row_under_a_result(world: World) -> None:
    result = await drawn(world)
    labels = [child.label for row in result.components for child in row.children]
    assert labels == ["Edit", "Vary", "Again", "Upscale", "More…"]


async def test_the_edit_button_asks_and_draws_even_after_a_restart(world: World) -> None:
    result = await drawn(world)
    await restart(world)
    shown = await world.member.click(result, label="Edit")
    assert shown.modal is not None
    await restart(world)
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0,9"})
    edited = newest(world)
    assert edited.id != result.id
    assert "strength 0.9" in edited.content
    assert f"edit of {result.jump_url}" in edited.content


@pytest.mark.parametrize("strength", ["much", "0", "7", "nan"])
async def test_a_strength_that_is_none_is_named(world: World, strength: str) -> None:
    result = await drawn(world)
    shown = await world.member.click(result, label="Edit")
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": strength})
    assert "trength" in newest(world).content
    assert len(await rows(world, "SELECT id FROM jobs")) == 1


async def test_again_is_the_same_with_another_seed(world: World) -> None:
    result = await drawn(world)
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    await stranger.click(result, label="Again")
    first, second = await rows(world, "SELECT spec, owner_id, kind FROM jobs ORDER BY id")
    assert second["kind"] == "again"
    assert second["owner_id"] == stranger.id, "who clicks asks, and pays"
    assert first["spec"] != second["spec"]
    assert await seen_in(newest(world)) == ("circle", "red", "blue")


async def test_a_second_click_is_no_second_wish(world: World) -> None:
    result = await drawn(world)
    await world.member.click(result, label="Again")
    answered = await world.member.click(result, label="Again")
    assert answered.response.content == "Already on it."
    assert len(await rows(world, "SELECT id FROM jobs")) == 2


async def test_again_of_an_edit_starts_from_the_same_source(world: World) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()), strength=0.9)
    edited = newest(world)
    await world.member.click(edited, label="Again")
    first, second = await rows(world, "SELECT json_extract(spec, '$.source') AS source FROM jobs ORDER BY id")
    assert first == second
    assert first["source"]


@pytest.mark.parametrize(("how", "strength"), [("Subtle", 0.4), ("Strong", 0.8)])
async def test_vary_asks_how_much(world: World, how: str, strength: float) -> None:
    result = await drawn(world)
    asked = await world.member.click(result, label="Vary")
    assert asked.ephemeral
    await world.member.click(asked.response.message, label=how)
    varied = newest(world)
    assert f"strength {strength}" in varied.content
    (_, job) = await rows(world, "SELECT kind, json_extract(spec, '$.prompt') AS prompt FROM jobs ORDER BY id")
    assert job == {"kind": "vary", "prompt": PROMPT}


async def test_upscale_doubles_and_stops_at_the_models_limit(world: World) -> None:
    result = await drawn(world)
    await world.member.click(result, label="Upscale")
    large = newest(world)
    assert picture_of(await large.attachments[0].read()).size == (512, 512)
    await world.member.click(large, label="Upscale")
    larger = newest(world)
    assert picture_of(await larger.attachments[0].read()).size == (640, 640)
    answered = await world.member.click(larger, label="Upscale")
    assert "as large as Z-Image demo can draw it: 640x640" in answered.response.content


async def test_with_several_images_the_next_step_asks_which(world: World) -> None:
    result = await drawn(world, count=3)
    asked = await world.member.click(result, label="Edit")
    assert asked.response.content == "Which picture?"
    ids = [row["id"] for row in await rows(world, "SELECT id FROM images ORDER BY position")]
    shown = await world.member.select(asked.response.message, [ids[1]])
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0.9"})
    (job,) = await rows(world, "SELECT parent_image_id FROM jobs WHERE kind = 'edit'")
    assert job["parent_image_id"] == ids[1]


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
    sheet = picture_of(await compared.followups[0].attachments[0].read())
    assert sheet.width > 2 * 256
    world.env.bot.parts.gallery.throttle.clear()
    tree = await world.member.click(menu, label="Tree")
    assert picture_of(await tree.followups[0].attachments[0].read()).width > 256
    answered = await world.member.click(menu, label="Tree")
    assert "ask again in two seconds" in answered.response.content
    assert result.id != edited.id


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
    menu = (await world.member.click(result, label="More…")).response.message
    confirm = (await world.member.click(menu, label="Delete")).response.message
    assert path.exists(), "asked first"
    await world.member.click(confirm, label="Delete this picture")
    assert not path.exists()
    assert [message.id for message in world.channel.history()] == [child.id]
    answered = await world.member.click(menu, label="Details")
    assert answered.response.content == "This picture was deleted."
    menu = (await world.member.click(child, label="More…")).response.message
    tree = await world.member.click(menu, label="Tree")
    assert tree.followups[0].attachments, "the child stays, its original is drawn as deleted"


async def test_one_of_several_is_taken_out_of_its_message(world: World) -> None:
    result = await drawn(world, count=2)
    ids = [row["id"] for row in await rows(world, "SELECT id FROM images ORDER BY position")]
    asked = (await world.member.click(result, label="More…")).response.message
    menu = (await world.member.select(asked, [ids[0]])).response.message
    confirm = (await world.member.click(menu, label="Delete")).response.message
    await world.member.click(confirm, label="Delete this picture")
    (message,) = world.channel.history()
    assert [ids[1] in attachment.filename for attachment in message.attachments] == [True]


async def test_a_result_that_is_deleted_in_discord_counts_as_deleted(world: World) -> None:
    result = await drawn(world)
    (image,) = await rows(world, "SELECT file FROM images")
    world.env.backend.delete_message(world.channel.id, result.id)
    await world.env.settle()
    assert [row["state"] for row in await rows(world, "SELECT state FROM images")] == ["deleted"]
    assert not (world.env.bot.settings.image_dir / image["file"]).exists()


async def test_right_click_on_anybodys_picture(world: World) -> None:
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    posted = await noa.send(world.channel, "look", attachments=[("a.png", photo()), ("b.png", photo(colour="purple"))])
    shown = await world.member.context_menu(world.channel, "Edit image", posted)
    assert shown.modal is not None
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0.9", "which": ["2"]})
    edited = newest(world)
    assert f"edit of {posted.jump_url}" in edited.content
    assert await seen_in(edited) == ("circle", "green", "blue")
    empty = await noa.send(world.channel, "no picture")
    answered = await world.member.context_menu(world.channel, "Edit image", empty)
    assert answered.response.content == "There is no picture in that message."
    assert len(world.env.errors) == 1


async def test_details_of_a_file_offers_again_and_edit(world: World) -> None:
    result = await drawn(world)
    data = await result.attachments[0].read()
    answered = await world.member.slash(world.channel, "details", image=("mine.png", data))
    told = answered.response
    assert "--seed 3" in told.content
    labels = [child.label for row in told.message.components for child in row.children]
    assert labels == ["Again", "Edit"]
    await restart(world)
    await world.member.click(told.message, label="Again")
    assert await seen_in(newest(world)) == ("circle", "red", "blue")
    shown = await world.member.click(told.message, label="Edit")
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0.9"})
    assert await seen_in(newest(world)) == ("circle", "green", "blue")


async def test_details_of_a_file_without_any(world: World) -> None:
    answered = await world.member.slash(world.channel, "details", image=("photo.png", photo()))
    assert answered.ephemeral
    assert answered.response.content or answered.followups[0].content
    assert world.env.errors, "a refusal"


async def test_tree_of_the_newest_here(world: World) -> None:
    await drawn(world)
    answered = await world.member.slash(world.channel, "tree")
    assert answered.ephemeral
    assert answered.response.attachments


async def test_forged_custom_ids_end_in_a_sentence(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True)
    result = await drawn(world)
    (secret, _) = await rows(world, "SELECT images.id, job_id FROM images ORDER BY job_id")
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    for custom_id in (f"zib:details:i{secret['id']}", f"zib:again:j{secret['job_id']}", "zib:edit:i000000000000"):
        matching = [item for item in RESULT_ITEMS if item.__discord_ui_compiled_template__.match(custom_id)]
        assert len(matching) == (0 if ":edit:i" in custom_id else 1)
    stored = world.env.backend.messages[world.channel.id][result.id]
    for row in stored.components:
        for child in row["components"]:
            child["custom_id"] = child["custom_id"].rpartition(":j")[0] + f":j{secret['job_id']}"
    for label in ("Edit", "Vary", "Again", "Upscale", "More…"):
        answered = await stranger.click(result, label=label)
        assert answered.response.content == "I know no such picture here."


async def test_a_picture_whose_file_is_gone_is_taken_from_its_message(world: World) -> None:
    result = await drawn(world)
    (image,) = await rows(world, "SELECT id, file FROM images")
    (world.env.bot.settings.image_dir / image["file"]).unlink()
    await world.member.slash(world.channel, "edit", prompt=CHANGED, source=image["id"], strength=0.9)
    assert await seen_in(newest(world)) == ("circle", "green", "blue")
    world.env.backend.edit_message(world.channel.id, result.id, {"attachments": []})
    await world.member.slash(world.channel, "edit", prompt=CHANGED, source=image["id"])
    assert "no longer kept, and its message is gone" in newest(world).content


async def test_a_moderator_deletes_anybodys_picture(world: World) -> None:
    result = await drawn(world)
    guild = world.channel.guild
    role = guild.create_role("mods", permissions=discord.Permissions(manage_messages=True))
    moderator = guild.add_member(world.env.create_user("mod"), roles=[role])
    menu = (await moderator.click(result, label="More…")).response.message
    confirm = (await moderator.click(menu, label="Delete")).response.message
    await moderator.click(confirm, label="Delete this picture")
    assert world.channel.history() == []
    assert [row["state"] for row in await rows(world, "SELECT state FROM images")] == ["deleted"]


async def test_what_went_to_somebodys_direct_messages_is_nobody_elses_default(world: World) -> None:
    guild = world.channel.guild
    closed = guild.create_text_channel(
        "closed", overwrites={guild.default_role: discord.PermissionOverwrite(attach_files=False)}
    )
    await world.member.slash(closed, "imagine", prompt=PROMPT)
    await world.env.bot.database.write(lambda connection: connection.execute("UPDATE jobs SET result_channel_id = 1"))
    stranger = guild.add_member(world.env.create_user("noa"))
    answered = await stranger.slash(closed, "edit", prompt=CHANGED)
    assert "I see no picture to edit" in answered.response.content
    (image,) = await rows(world, "SELECT id FROM images")
    answered = await stranger.slash(closed, "edit", prompt=CHANGED, source=image["id"])
    assert answered.response.content == "I know no such picture here."
    assert len(world.env.errors) == 2


async def test_pictures_of_a_hidden_channel_are_not_for_everybody(world: World) -> None:
    guild = world.channel.guild
    stranger = guild.add_member(world.env.create_user("noa"))
    hidden = guild.create_text_channel(
        "hidden",
        overwrites={
            guild.default_role: discord.PermissionOverwrite(view_channel=False),
            world.member: discord.PermissionOverwrite(view_channel=True),
        },
    )
    await world.member.slash(hidden, "imagine", prompt=PROMPT)
    (image,) = await rows(world, "SELECT id FROM images")
    answered = await stranger.slash(world.channel, "edit", prompt=CHANGED, source=image["id"])
    assert answered.response.content == "I know no such picture here."
    assert len(world.env.errors) == 1
