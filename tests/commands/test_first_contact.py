"""People who write to the bot without a command: what they are answered, how often, and what the button does."""

from __future__ import annotations

from functools import partial
from typing import Any

import discord
import pytest
from discord.role import RoleTags
from simcord.backend.models.message import AllowedMentions

from bot.commands.help import EXAMPLE
from bot.playground.world import World
from tests.commands.test_replies import answers_to
from tests.helpers.admins import admin_of, another_server, labels, told
from tests.helpers.pictures import PROMPT, drawn, rows
from tests.helpers.worlds import OpenWorld, restart


@pytest.fixture(autouse=True)
def _soon_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hints remove themselves; a test need not wait as long as people need to read them."""
    monkeypatch.setattr("bot.commands.first_contact.HINT_SECONDS", 0.5)
    monkeypatch.setattr("bot.views.card_messages.SHORT_LIVED_SECONDS", 0.5)


def me(world: World) -> str:
    return f"<@{world.env.bot.user.id}>"


async def write(world: World, text: str, member: Any = None) -> list[discord.Message]:
    """Send a direct message. Returns what the bot answered."""
    user = (member or world.member).user
    before = {message.id for message in user.dm_channel.history()}
    await user.send_dm(text)
    return [each for each in user.dm_channel.history() if each.id not in before and each.author.id != user.id]


async def mention(world: World, text: str, member: Any = None) -> list[discord.Message]:
    """Send a message to the channel. Returns what the bot answered and did not remove."""
    before = {message.id for message in world.channel.history()}
    member = member or world.member
    await member.send(world.channel, text)
    return [each for each in world.channel.history() if each.id not in before and each.author.id != member.id]


@pytest.mark.parametrize("text", ["hi", "hello there", "help", "你好", "thanks", "what can you do?"])
async def test_a_greeting_is_answered_with_what_to_do(world: World, text: str) -> None:
    for answers in (await write(world, text), await mention(world, f"{me(world)} {text}", admin_of(world))):
        (answer,) = answers
        assert f"/imagine prompt:{EXAMPLE}" in answer.content
        assert "`edit: a lighthouse at night`" in answer.content
        assert "Apps → **Edit image**" in answer.content
        assert "</help:" in answer.content
        assert labels(answer) == []
    assert await rows(world, "SELECT id FROM jobs") == []


async def test_a_mention_alone_is_greeted(world: World) -> None:
    (answer,) = await mention(world, me(world))
    assert "I generate pictures" in answer.content


async def test_a_prompt_in_a_direct_message_is_generated_with_one_press(world: World) -> None:
    (answer,) = await write(world, PROMPT)
    assert f"Shall I generate a picture of ``{PROMPT}``?" in answer.content
    assert labels(answer) == ["Generate"]
    await world.member.user.click(answer, label="Generate")
    (job,) = await rows(world, "SELECT kind, guild_id, state, spec FROM jobs")
    assert (job["kind"], job["guild_id"], job["state"]) == ("imagine", None, "delivered")
    assert PROMPT in job["spec"]


async def test_the_second_press_of_a_double_click_generates_nothing(world: World) -> None:
    (answer,) = await mention(world, f"{me(world)} {PROMPT}")
    await world.member.click(answer, label="Generate")
    await world.member.click(answer, label="Generate")
    assert len(await rows(world, "SELECT id FROM jobs")) == 1
    await world.env.advance_time(3)
    await world.member.click(answer, label="Generate")
    assert len(await rows(world, "SELECT id FROM jobs")) == 2, "once more, if that is wanted"


@pytest.mark.parametrize("by_role", [False, True])
async def test_a_prompt_after_a_mention_is_generated_for_its_author_alone(
    world_of: OpenWorld, *, by_role: bool
) -> None:
    async with world_of(message_content_intent=by_role) as world:
        name = own_role(world).mention if by_role else me(world)
        (answer,) = await mention(world, f"{name} {PROMPT} --seed 3")
        stranger = world.channel.guild.add_member(world.env.create_user("noa"))
        refused = await stranger.click(answer, label="Generate")
        assert refused.response.content == "Only the member who wrote that can have it generated."
        assert await rows(world, "SELECT id FROM jobs") == []
        await restart(world)
        own_role(world)
        await world.member.click(answer, label="Generate")
        (job,) = await rows(world, "SELECT owner_id, guild_id, state, spec FROM jobs")
        assert (job["owner_id"], job["state"]) == (world.member.id, "delivered")
        assert '"seed":3' in job["spec"].replace(" ", "")
        assert "<@" not in job["spec"]


async def test_a_message_that_is_gone_cannot_be_generated(world: World) -> None:
    (answer,) = await mention(world, f"{me(world)} {PROMPT}")
    (written,) = [each for each in world.channel.history() if each.author.id == world.member.id]
    world.env.backend.delete_message(world.channel.id, written.id)
    refused = await world.member.click(answer, label="Generate")
    assert refused.response.content == "Your message is gone: send it again, or use /imagine."


async def test_nobody_fills_a_channel_with_greetings(world: World) -> None:
    assert len(await mention(world, f"{me(world)} hi")) == 1
    assert await mention(world, f"{me(world)} hello") == []
    assert len(await mention(world, f"{me(world)} {PROMPT}")) == 1, "what reads like a prompt is answered all the same"
    assert await mention(world, f"{me(world)} {PROMPT}") == []
    await world.env.advance_time(3)
    assert len(await mention(world, f"{me(world)} {PROMPT}")) == 1
    await world.env.advance_time(60)
    assert len(await mention(world, f"{me(world)} hi")) == 1


async def test_a_greeting_in_a_channel_silences_none_in_a_direct_message(world: World) -> None:
    assert len(await mention(world, f"{me(world)} hi")) == 1
    assert len(await write(world, "hi")) == 1


async def test_bots_and_other_talk_are_not_answered(world: World) -> None:
    robot = world.channel.guild.add_member(world.env.create_user("robot", bot=True))
    assert await mention(world, f"{me(world)} hi", robot) == []
    assert await mention(world, "hi, everybody") == []


async def test_thanks_for_a_picture_change_nothing(world: World) -> None:
    result = await drawn(world)
    await world.member.send(world.channel, f"{me(world)} thank you!", reply_to=result)
    assert len(await rows(world, "SELECT id FROM jobs")) == 1


async def test_an_edit_without_a_picture_is_told_so(world: World) -> None:
    assert any("I see no picture to edit" in each for each in await answers_to(world, f"{me(world)} edit: at night"))
    user = world.member.user
    await user.send_dm("edit: at night")
    assert world.env.errors is not None


async def test_where_the_bot_may_not_be_used_it_says_only_that(world: World) -> None:
    await told(world, admin_of(world), "admin channels deny", channel=world.channel)
    answers = await answers_to(world, f"{me(world)} hi")
    assert [each for each in answers if "may not" in each] == ["I may not be used in this channel."]
    assert await write(world, "hi"), "elsewhere it is as ever"


async def test_direct_messages_that_are_not_served_are_told_so(world: World) -> None:
    await restart(world, direct_messages=False)
    said: list[str] = []
    world.env.bot.add_listener(partial(_note, said), "on_message")
    await write(world, "hi")
    assert "I work in servers, not in direct messages." in said
    await restart(world, allowed_guilds=frozenset({world.channel.guild.id}))
    world.env.bot.add_listener(partial(_note, said), "on_message")
    await write(world, "hi")
    assert "I work in my operator's servers, not in direct messages." in said


async def _note(said: list[str], message: discord.Message) -> None:
    if message.author.bot:
        said.append(message.content)


def own_role(world: World) -> discord.Role:
    """The role that Discord made for the bot; SimCord does not say of it that it is the bot's."""
    guild = world.env.bot.get_guild(world.channel.guild.id)
    (role,) = [each for each in guild.roles if each.managed]
    role.tags = RoleTags({"bot_id": world.env.bot.user.id})
    return role


async def reply_quietly(world: World, text: str, replied: discord.Message | None = None) -> list[str]:
    """Reply without a ping, or send a message. Returns all that the bot said meanwhile."""
    said: list[str] = []
    world.env.bot.add_listener(partial(_note, said), "on_message")
    reference = {"channel_id": str(world.channel.id), "message_id": str(replied.id)} if replied else None
    world.env.backend.create_message(
        world.channel.id,
        world.member.id,
        text,
        reference=world.env.backend.normalize_message_reference(world.channel.id, reference) if reference else None,
        allowed_mentions=AllowedMentions(replied_user=False),
    )
    await world.env.settle()
    return said


async def test_a_reply_that_discord_hides_is_told_of_once(world: World) -> None:
    result = await drawn(world)
    (sentence,) = await reply_quietly(world, "at night", result)
    assert f"mention me in it ({me(world)})" in sentence
    assert "Apps → **Edit image**" in sentence
    assert sentence not in [each.content for each in world.channel.history()], "it removes itself"
    assert await reply_quietly(world, "at night", result) == []
    assert len(await rows(world, "SELECT id FROM jobs")) == 1


async def test_a_mention_of_the_bots_role_is_told_of(world: World) -> None:
    role = own_role(world)
    (sentence,) = await reply_quietly(world, f"{role.mention} a red circle")
    assert "Discord did not show me your text" in sentence


async def test_other_hidden_messages_are_left_alone(world: World) -> None:
    assert await reply_quietly(world, "lol") == []
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    posted = await noa.send(world.channel, "look at this")
    assert await reply_quietly(world, "nice", posted) == []
    result = await drawn(world)
    await told(world, admin_of(world), "admin block", member=world.member)
    assert await reply_quietly(world, "at night", result) == []


async def test_with_the_intent_nothing_is_hidden(world_of: OpenWorld) -> None:
    async with world_of(message_content_intent=True) as world:
        assert await reply_quietly(world, "nice", await drawn(world)) == []


async def test_the_hint_is_once_in_each_server(world: World) -> None:
    assert len(await reply_quietly(world, "at night", await drawn(world))) == 1
    there, _ = another_server(world)
    member = there.guild.add_member(world.env.create_user("kim"))
    result = await there.guild.add_member(world.member.user).slash(there, "imagine", prompt=PROMPT)
    assert result is not None
    posted = there.history()[-1]
    other = World(world.env, there, there.guild.add_member(world.member.user) if member is None else member)
    assert len(await reply_quietly(other, "at night", posted)) == 1
