"""Attacks of admins on what their members do in other servers and in direct messages."""

from __future__ import annotations

import pytest

from tests.helpers.admins import another_server, told
from tests.helpers.pictures import PROMPT
from tests.helpers.worlds import OpenWorld


@pytest.mark.parametrize("way", ["command", "menu"])
async def test_an_admin_sees_no_use_of_other_servers(world_of: OpenWorld, way: str) -> None:
    async with world_of(ceiling_credits_per_user=77.0) as world:
        await world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=1)
        there, eve = another_server(world)
        mira = there.guild.add_member(world.member.user)
        if way == "command":
            said = (await told(world, eve, "admin limits show", there, target=mira)).content
        else:
            said = (await eve.context_menu(there, "Limits", mira)).response.content
        assert "Across all servers and DMs: at most 77 credits · the operator's limit" in said
        assert "of 77" not in said
        own = (await told(world, world.member, "quota")).content
        assert "of 77 credits used" in own, "the member sees it"
