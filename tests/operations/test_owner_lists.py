"""``/owner audit`` and ``/owner jobs``: what was changed, what is open and what failed, for owners alone."""

from __future__ import annotations

import time

import discord

from bot.playground.world import World
from bot.views.owner_lists import OwnerAuditPages, OwnerJobPages
from tests.helpers.admins import told
from tests.helpers.forging import forged_click
from tests.helpers.job_worlds import PROMPT, change
from tests.helpers.pictures import drawn
from tests.helpers.waiting import until
from tests.helpers.worlds import restart


async def test_owners_see_what_was_changed_and_what_is_open_and_nobody_else_does(world: World) -> None:
    guild = world.channel.guild
    boss = guild.create_role("boss", permissions=discord.Permissions(administrator=True))
    owner = guild.add_member(world.env.create_user("op"), roles=[boss])
    admin = guild.add_member(world.env.create_user("adm"), roles=[boss])
    await restart(world, owner_guild_id=guild.id, bot_owner_ids=frozenset({owner.id}))
    assert (await told(world, owner, "owner audit")).content == "Nothing was changed with /owner yet."
    empty = (await told(world, owner, "owner jobs")).content
    assert empty == "No request is open, and none failed in the last 24 hours."
    await drawn(world, steps=1)
    await drawn(world, steps=1)
    now = int(time.time())
    await change(world, "UPDATE jobs SET state = 'failed', error_code = 'disk_full', ended_at = ? WHERE id = 1", now)
    await told(world, owner, "owner pause")
    await told(world, owner, "owner resume")
    await world.env.bot.database.write(
        lambda connection: connection.execute("UPDATE jobs SET state = 'queued', ended_at = NULL WHERE id = 2").rowcount
    )
    shown = (await told(world, owner, "owner jobs")).content.splitlines()
    assert shown[0] == "**1 request open**, the oldest first; 1 failed in the last 24 hours"
    assert shown[1].startswith(f"`2` **queued** imagine × 1 · <@{world.member.id}> · server `{guild.id}` · asked <t:")
    assert shown[2].startswith("`1` **failed**")
    assert shown[2].endswith("`disk_full`")
    assert PROMPT not in "".join(shown)
    audited = await told(world, owner, "owner audit")
    assert audited.content.startswith("**2 changes with /owner**, the newest first\n")
    assert f"<@{owner.id}> **pause**" in audited.content
    for pages in (OwnerAuditPages, OwnerJobPages):
        before = len(world.channel.history(viewer=admin))
        own = await told(world, admin, "admin audit")
        await forged_click(world, admin, own, pages(0).item.custom_id)
        await until(lambda before=before: len(world.channel.history(viewer=admin)) > before + 1)
        assert "BOT_OWNER_IDS" in world.channel.history(viewer=admin)[-1].content
    assert world.env.errors is not None


async def test_more_than_a_page_is_turned(world: World) -> None:
    guild = world.channel.guild
    boss = guild.create_role("boss", permissions=discord.Permissions(administrator=True))
    owner = guild.add_member(world.env.create_user("op"), roles=[boss])
    await restart(world, owner_guild_id=guild.id, bot_owner_ids=frozenset({owner.id}))
    for _ in range(6):
        await told(world, owner, "owner pause")
        await told(world, owner, "owner resume")
    first = await told(world, owner, "owner audit")
    assert "page 1 of 2" in first.content
    await owner.click(first, label="Next")
    shown = [message.content for message in world.channel.history(viewer=owner) if message.id == first.id]
    assert "page 2 of 2" in shown[0]
    assert shown[0].count("\n") == 2
