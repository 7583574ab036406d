"""``/quota`` on a simulated Discord: what is used, what is left, and where each limit comes from."""

from __future__ import annotations

from bot.playground.world import World
from tests.helpers.admins import admin_of
from tests.helpers.credits import answer_text, quota_answer
from tests.helpers.pictures import PROMPT
from tests.helpers.worlds import OpenWorld


async def test_a_role_gives_more_and_quota_says_so(world: World) -> None:
    ada = admin_of(world)
    guild = world.channel.guild
    artists, patrons = guild.create_role("Artists"), guild.create_role("Patrons")
    fay = guild.add_member(world.env.create_user("fay"), roles=[artists, patrons])
    await answer_text(world, ada, "admin limits set", target=artists, limit="credits_per_day", value="20")
    await answer_text(
        world, ada, "admin limits set", target=patrons, limit="credits_per_day", value="unlimited", **{"for": "7d"}
    )
    await answer_text(world, ada, "admin limits set", target=guild.default_role, limit="credits_per_day", value="5")
    text = await quota_answer(world, fay)
    assert f"Credits, last 24 h: 0 used, unlimited · from role <@&{patrons.id}>, until <t:" in text
    assert "Credits, last 24 h: 0 of 5 used, **5 left** · for everyone in this server" in await quota_answer(world)
    shown = await answer_text(world, ada, "admin limits show")
    assert f"<@&{artists.id}>: Credits, last 24 h **20**" in shown
    assert "everyone: Credits, last 24 h **5**" in shown
    assert "everyone" in await answer_text(
        world, ada, "admin limits clear", target=guild.default_role, limit="credits_per_day"
    )
    assert "the bot's default" in await quota_answer(world)
    assert f"from role <@&{patrons.id}>" in await answer_text(world, ada, "admin limits show", target=fay)


async def test_direct_messages_have_limits_of_their_own(world_of: OpenWorld) -> None:
    async with world_of(direct_credits_per_day=1.0) as world:
        user = world.env.create_user("deo")
        await user.slash("imagine", prompt=PROMPT)
        answered = await user.slash("imagine", prompt=PROMPT)
        assert "You have used 1 of 1 in the last 24 hours" in answered.response.content
        text = (await user.slash("quota")).response.content
        assert text.startswith("**Your limits in direct messages**")
        assert len(world.env.errors) == 1
