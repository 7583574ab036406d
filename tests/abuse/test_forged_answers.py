"""Attacks with buttons of private messages on public ones: no result is overwritten or removed by them."""

from __future__ import annotations

import re
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import bot
from bot.playground.world import World
from bot.views.ids import SNOWFLAKE
from bot.views.results import result_view
from tests.helpers.admins import admin_of
from tests.helpers.dynamic_items import dynamic_items
from tests.helpers.forging import forged_click
from tests.helpers.pictures import drawn, rows

_GENERATES = re.compile(r"zib:(which-)?(again|subtle|strong|upscale):")
"""Buttons that post a new message; no need to wait for the pictures."""


def every_custom_id(image_id: str) -> list[str]:
    """Return the ids that buttons and selects of each kind can have, about the first job and its image."""
    samples = {"[0-9a-f]{12}": image_id, r"\d{1,18}": "1", r"\d{1,20}": "1", r"\d{1,9}": "0"}
    found: list[str] = []
    for kind in dynamic_items():
        pattern = kind.__discord_ui_compiled_template__.pattern.removesuffix(r"\Z").replace(SNOWFLAKE, "1")
        parts = re.split(r"\(\?P<\w+>([^()]*)\)", pattern)
        choices = [[samples.get(each, each) for each in part.split("|")] for part in parts]
        found += ["".join(chosen) for chosen in product(*choices)]
    return [custom_id for custom_id in found if custom_id.startswith("zib:")]


async def test_no_forged_component_changes_somebody_elses_result(world: World) -> None:
    posted = await drawn(world, steps=1)
    stored = world.env.backend.get_message(world.channel.id, posted.id)
    before = deepcopy((stored.content, stored.attachments, stored.components))
    (image,) = await rows(world, "SELECT id FROM images")
    ada = admin_of(world)  # admins reach further than other members
    pressed = [custom_id for custom_id in every_custom_id(image["id"]) if not _GENERATES.match(custom_id)]
    assert len(pressed) > 40
    for custom_id in pressed:
        world.env.bot.parts.gallery.throttle.clear()
        values = [image["id"]] if ":which-" in custom_id else ["1"] if "queue-cancel-mine" in custom_id else None
        await forged_click(world, ada, posted, custom_id, values)
        left = world.env.backend.get_message(world.channel.id, posted.id)
        assert (left.content, left.attachments, left.components) == before, custom_id
    assert [message.id for message in world.channel.history(viewer=world.member)] == [posted.id]
    assert world.env.errors is not None


@pytest.mark.parametrize(
    "custom_id",
    ["zib:answer-yes:q000000000000", "zib:answer-no:q000000000000", "zib:privacy:keep", "zib:privacy:all",
     "zib:queue-mine:0", "zib:queue-cancel-all", "zib:pick-none:d1", "zib:pick-000000000000:d999"],
)  # fmt: skip
async def test_a_forged_answer_is_refused_with_a_sentence(world: World, custom_id: str) -> None:
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    channel: Any = world.env.bot.get_channel(world.channel.id)
    posted = await channel.send("a result of somebody else", view=result_view(1))
    answered = await forged_click(world, noa, posted, custom_id)
    assert answered.ephemeral
    assert answered.response.content.endswith(
        ("please use the command again.", "This question has expired, and nothing was charged.")
    )
    assert [message.content for message in world.channel.history(viewer=world.member)] == ["a result of somebody else"]


def test_messages_are_changed_where_they_are_checked_alone() -> None:
    """A new handler that edits the message of its button has to say here how it knows that this is its own."""
    known = {
        "views/private_messages.py": 1,  # the check
        "commands/questions.py": 1,  # is_question
        "commands/privacy.py": 2,  # after check_private
        "commands/admin/moderate_menu.py": 1,  # after check_private
        "commands/private_menus.py": 1,  # is_menu
    }
    folder = Path(bot.__file__).parent
    counts = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8").count("response.edit_message(")
        for path in folder.rglob("*.py")
    }
    assert {name: count for name, count in counts.items() if count} == known
