"""``/admin``: who may use it, and that no server sees the lists of another."""

from __future__ import annotations

import discord

from bot.playground.world import World
from tests.helpers.admins import admin_of, another_server, audited, blocks_in, channel_rules_in, told


async def test_another_server_s_rules_are_neither_seen_nor_changed(world: World) -> None:
    ada, mira, (elsewhere, eve) = admin_of(world), world.member, another_server(world)
    elsewhere.guild.add_member(world.env.create_user("noa"))
    await told(world, ada, "admin block", member=mira)
    await told(world, ada, "admin channels deny", channel=world.channel)
    await told(world, ada, "admin words add", word="duck")
    before = await audited(world)

    assert (await told(world, eve, "admin blocked", elsewhere)).content == "Nobody is blocked in this server."
    assert "no rules for channels" in (await told(world, eve, "admin channels list", elsewhere)).content
    assert "may contain anything" in (await told(world, eve, "admin words list", elsewhere)).content
    assert "Nothing was changed" in (await told(world, eve, "admin audit", elsewhere)).content
    user = world.env.create_user("unrelated")
    await told(world, eve, "admin unblock", elsewhere, member=user)
    assert "is not in the list" in (await told(world, eve, "admin words remove", elsewhere, word="duck")).content
    cleared = await told(world, eve, "admin channels clear", elsewhere, deleted=True)
    assert "There are no rules for deleted channels" in cleared.content
    assert await eve.autocomplete(elsewhere, "admin words remove", "word", "") == []
    assert await audited(world) == before
    assert await audited(world, elsewhere.guild.id) == []
    assert [block.member_id for block in await blocks_in(world)] == [mira.id]
    assert await channel_rules_in(world) == {world.channel.id: "deny"}


async def test_permissions_of_the_group(world: World) -> None:
    group = world.env.bot.tree.get_command("admin")
    assert group.default_permissions == discord.Permissions(manage_guild=True)
