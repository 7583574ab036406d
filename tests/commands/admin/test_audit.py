"""Who changed what: the log channel's lines, ``/admin audit`` in pages, and who may turn them."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import discord
import pytest
import simcord
from hypothesis import given
from hypothesis import strategies as st

from bot.playground.world import World
from bot.store import audit
from bot.store.audit import AuditRow, Change
from bot.views.audit import AuditPages, audit_line
from bot.views.base import SafeView
from bot.views.moderation import RULE_PAGES
from bot.views.owner_lists import OwnerAuditPages, OwnerJobPages
from bot.views.pages import PageButton, fit
from tests.helpers.admins import admin_of, another_server, labels, told
from tests.helpers.dynamic_items import matching
from tests.helpers.forging import forged_click
from tests.helpers.worlds import OpenWorld, restart

AT, ADA = 1_764_000_000, 1456074443980800021
ONLY_ADMINS = "Only admins of this server can do that: you need Manage Server, or the admin role."
BLOCK = Change("block", "<@4>", "not blocked", "blocked until <t:1764043200:f>", 4, "spam")


@pytest.fixture
async def world(world_of: OpenWorld) -> Any:
    async with world_of(load=False) as opened:
        yield opened


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            Change("limits set credits_per_day", "<@&7>", "15", "30"),
            "**limits set: Credits, last 24 h** <@&7>: 15 → 30",
        ),
        (
            Change("limits set max_pixels", "everyone", "not set", "262,144 until <t:1764043200:f>"),
            "**limits set: Largest picture** everyone: not set → 262,144 until <t:1764043200:f>",
        ),
        (BLOCK, "**block** <@4>: not blocked → blocked until <t:1764043200:f> · ``spam``"),
        (Change("pause", "", "drawing on", "drawing off"), "**pause**: drawing on → drawing off"),
        (Change("settings", "log_channel", "none", "<#9>"), "**settings** log_channel: none → <#9>"),
        (Change("channels deny", "<#9>", "allow", "deny"), "**channels deny** <#9>: allow → deny"),
        (Change("words add", "a||b", "not there", "word"), "**words add** ||``a|\u200b|b``||: not there → word"),
        (
            Change("words add", "x", "not there", "word, says “Ask @everyone.”"),
            "**words add** ||``x``||: not there → ``word, says “Ask @everyone.”``",
        ),
        (
            Change("grant", "<@4>", "0", "2.5", 4, "`a` **b** <@1> https://x.y"),
            "**grant** <@4>: 0 → 2.5 · `` `a` **b** <@1> https://x.y``",
        ),
        (Change("settings", "x", "", " "), "**settings** x: nothing → nothing"),
    ],
)
def test_a_change_as_a_line(change: Change, line: str) -> None:
    assert audit_line(AuditRow(1, ADA, change, AT)) == f"<t:{AT}> <@{ADA}> {line}"


VALUES = st.text(max_size=300) | st.text(alphabet="`|@<>#:/*_~ a\u200b\u202e", max_size=60)
ACTIONS = st.sampled_from(["limits clear credits_per_day", "words remove", "settings", "block"])
CHANGES = st.builds(
    Change, ACTIONS, VALUES, VALUES, VALUES, st.none(), st.none() | VALUES.filter(lambda text: bool(text.strip()))
)
OUR_OWN = (
    r"(?:<t:\d+(?::\w)?>|<@!?&?\d+>|<#\d+>|\*\*[a-z_ ]+(?:: [\w ,]+)?\*\*|\|\|(?:\x00|nothing)\|\||\x00"
    r"|[\w .,:;%×()“”+→·-])*"
)


@given(st.lists(CHANGES, min_size=1, max_size=10))
def test_a_page_of_any_changes_fits_and_nothing_in_it_comes_alive(changes: list[Change]) -> None:
    lines = fit([AuditRow(1, ADA, change, AT) for change in changes], audit_line)
    assert sum(len(line) + 1 for line in lines) <= 1920
    assert len(lines) == len(changes)
    for line in lines:
        bare = re.sub(r"``(?:(?!``)[^\n])+``", "\x00", line)
        assert re.fullmatch(OUR_OWN, bare), line


def test_short_lines_stay_whole_beside_long_ones() -> None:
    long = AuditRow(1, ADA, Change("words add", "x" * 200, "y" * 300, "z" * 300, reason="w" * 300), AT)
    short = AuditRow(2, ADA, BLOCK, AT)
    lines = fit([long] * 9 + [short], audit_line)
    assert lines[-1] == audit_line(short)
    assert all("…" in line for line in lines[:9])


async def changed(world: World, count: int, guild: Any = None) -> None:
    """Changes by somebody, numbered from 1."""
    guild_id = (guild or world.channel.guild).id

    def write(connection: Any) -> None:
        for number in range(1, count + 1):
            audit.record(connection, guild_id, ADA, Change("settings", "spoiler", f"{number - 1}", f"{number}"), AT)

    await world.env.bot.database.write(write)


def numbers(message: discord.Message) -> list[int]:
    """Which of the numbered changes are shown."""
    return [int(number) for number in re.findall(r"→ (\d+)$", message.content, re.MULTILINE)]


async def test_nothing_was_changed_yet(world: World) -> None:
    message = await told(world, admin_of(world), "admin audit")
    assert message.content == "Nothing was changed in this server yet."
    assert labels(message) == []


async def test_the_newest_first_ten_a_page_back_and_next_in_place(world: World) -> None:
    await changed(world, 23)
    ada = admin_of(world)
    message = await told(world, ada, "admin audit")
    assert message.content.startswith("**23 changes in this server**, the newest first · page 1 of 3\n")
    assert numbers(message) == list(range(23, 13, -1))
    assert labels(message) == ["Next"]
    seen = []
    for label in ("Next", "Next", "Back", "Back"):
        await ada.click(message, label=label)
        (message,) = world.channel.history(viewer=ada)
        seen.append((numbers(message)[0], labels(message)))
    assert seen == [(13, ["Back", "Next"]), (3, ["Back"]), (13, ["Back", "Next"]), (23, ["Next"])]


async def test_the_buttons_work_after_a_restart(world: World) -> None:
    await changed(world, 11)
    ada = admin_of(world)
    message = await told(world, ada, "admin audit")
    await restart(world)
    await ada.click(message, label="Next")
    (message,) = world.channel.history(viewer=ada)
    assert numbers(message) == [1]
    assert labels(message) == ["Back"]


async def test_who_is_no_admin_any_more_turns_no_page(world: World) -> None:
    await changed(world, 11)
    ada = admin_of(world)
    message = await told(world, ada, "admin audit")
    guild = world.channel.guild
    world.env.backend.remove_member_role(guild.id, ada.id, guild.roles["boss"].id)
    refused = await ada.click(message, label="Next")
    assert refused.response.content == ONLY_ADMINS
    assert numbers(world.channel.history(viewer=ada)[0])[0] == 11, "the page stays as it was"
    with pytest.raises(simcord.SetupError, match="default-member-permissions"):
        await ada.slash(world.channel, "admin audit")


async def test_the_admin_role_turns_pages_and_a_role_let_in_by_the_server_needs_it(world: World) -> None:
    await changed(world, 11)
    guild, ada = world.channel.guild, admin_of(world)
    helpers = guild.create_role("helpers")
    helper = guild.add_member(world.env.create_user("hal"), roles=[helpers])
    (command,) = [known for known in await world.env.bot.tree.fetch_commands() if known.name == "admin"]
    guild.set_command_permissions(command, {helpers: True})
    message = await told(world, helper, "admin audit")
    refused = await helper.click(message, label="Next")
    assert refused.response.content == ONLY_ADMINS
    await told(world, ada, "admin settings", admin_role=helpers)
    await helper.click(message, label="Next")
    assert numbers(world.channel.history(viewer=helper)[0])[-1] == 1


async def test_ordinary_members_and_direct_messages_have_no_admin_commands(world: World) -> None:
    assert not [name for name in world.member.available_commands(world.channel) if name.startswith("admin")]
    assert [name for name in admin_of(world).available_commands(world.channel) if name.startswith("admin")]
    user = world.env.create_user("zoe")
    assert not [name for name in user.available_commands() if name.startswith("admin")]
    for command in ("admin audit", "admin blocked", "admin words list", "admin channels list"):
        with pytest.raises(simcord.SetupError, match="not visible"):
            await world.member.slash(world.channel, command)
        with pytest.raises(simcord.SetupError):
            await user.slash(command)


async def posted(world: World, channel: Any, *pages: int) -> Any:
    """A message with page buttons that anybody can see and press, as if forged."""
    view = SafeView(timeout=None)
    for page in pages:
        view.add_item(AuditPages(page, f"page {page}"))
    return await world.env.bot.get_channel(channel.id).send("forged", view=view)


async def test_a_forged_button_shows_the_own_server_to_its_admins_alone(world: World) -> None:
    elsewhere, eve = another_server(world)
    await changed(world, 15)
    await changed(world, 1, elsewhere.guild)
    message = await posted(world, elsewhere, 1, 999_999_999)
    stranger = elsewhere.guild.add_member(world.env.create_user("noa"))
    refused = await stranger.click(message, label="page 1")
    assert refused.response.content == ONLY_ADMINS
    own = await told(world, eve, "admin audit", elsewhere)
    for page in (1, 999_999_999):
        await forged_click(world, eve, own, AuditPages(page).item.custom_id)
        shown = elsewhere.history(viewer=eve)[-1]
        assert shown.content.startswith("**1 change in this server**, the newest first\n")
        assert numbers(shown) == [1]
    assert numbers(await told(world, eve, "admin audit", elsewhere)) == [1]


async def test_a_page_far_behind_the_end_is_the_last_one(world: World) -> None:
    await changed(world, 15)
    ada = admin_of(world)
    await forged_click(world, ada, await told(world, ada, "admin audit"), AuditPages(999_999_999).item.custom_id)
    shown = world.channel.history(viewer=ada)[-1]
    assert numbers(shown) == [5, 4, 3, 2, 1]
    assert "page 2 of 2" in shown.content


@pytest.mark.parametrize("kind", [AuditPages, OwnerAuditPages, OwnerJobPages, *RULE_PAGES])
def test_each_list_has_buttons_of_its_own(kind: type[PageButton]) -> None:
    for page in (0, 999_999_999):
        custom_id = kind(page).item.custom_id
        assert matching(custom_id) == [kind]


@pytest.mark.parametrize("custom_id", ["zib:audit:", "zib:audit:-1", "zib:audit:1x", "zib:audit:9999999999"])
def test_other_custom_ids_are_no_pages(custom_id: str) -> None:
    assert AuditPages.__discord_ui_compiled_template__.match(custom_id) is None


async def test_the_log_channel_gets_a_line_for_each_change_and_pings_nobody(world: World) -> None:
    guild, ada = world.channel.guild, admin_of(world)
    log = guild.create_text_channel("log")
    await told(world, ada, "admin settings", log_channel=log)
    await told(world, ada, "admin block", member=world.member, reason="@everyone")
    first, second = log.history()
    assert first.content.endswith(f"**settings** log_channel: none → <#{log.id}>")
    assert second.content.endswith(
        f"<@{ada.id}> **block** <@{world.member.id}>: not blocked → blocked for good · ``@everyone``"
    )
    assert not second.mention_everyone
    assert second.flags.suppress_notifications
    sent = [request for request in world.env.http_requests if request.path == f"/channels/{log.id}/messages"]
    assert [request.json["allowed_mentions"] for request in sent] == [{"parse": []}] * 2


@pytest.mark.parametrize("how", ["no permission", "deleted"])
async def test_a_log_channel_that_cannot_be_written_to_stops_nothing(world: World, how: str, caplog: Any) -> None:
    guild, ada = world.channel.guild, admin_of(world)
    log = guild.create_text_channel("log")
    await told(world, ada, "admin settings", log_channel=log)
    if how == "deleted":
        world.env.backend.delete_channel(log.id)
    else:
        hidden = discord.PermissionOverwrite(send_messages=False)
        closed = guild.create_text_channel("closed", overwrites={guild.default_role: hidden})
        refused = await told(world, ada, "admin settings", log_channel=closed)
        assert "I cannot write in" in refused.content
        world.env.inject_error("POST", f"/channels/{log.id}/messages", status=403, code=50013, message="Missing")
    message = await told(world, ada, "admin block", member=world.member)
    assert "is blocked in this server for good" in message.content
    assert "log_channel_closed" in caplog.text
    newest = partial(audit.newest, guild_id=guild.id, count=1)
    (row,) = await world.env.bot.database.read(newest)
    assert row.change.action == "block"
