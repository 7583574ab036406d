"""What prompts may not contain: ``/admin words``."""

from __future__ import annotations

from typing import Any

import pytest

from bot.moderation.word_filter import NOT_USABLE, NOT_WANTED, PATTERNS_MAX, TOO_SLOW, WORDS_MAX
from bot.playground.world import World
from bot.store import moderation
from bot.store.audit import Change
from bot.store.moderation import Word
from tests.helpers.admins import admin_of, another_server, ask, audited, told
from tests.helpers.worlds import OpenWorld


@pytest.fixture
async def world(world_of: OpenWorld) -> Any:
    """Nothing is drawn in most of these tests, so the model need not be there."""
    async with world_of(load=False) as opened:
        yield opened


async def test_a_word_is_refused_with_its_sentence_until_it_is_removed(world_of: OpenWorld) -> None:
    async with world_of() as world:
        ada = admin_of(world)
        said = await told(world, ada, "admin words add", word=" Red  CIRCLE ", sentence="No circles\ntoday.")
        assert said.content == (
            "Prompts may no longer contain this: ||``red circle``||\nMembers who try it are told: ``No circles today.``"
        )
        assert await ask(world) == "No circles today.\n``a red circle --seed 1``"
        assert "seed 1" in await ask(world, prompt="a blue square")
        elsewhere, _ = another_server(world)
        there = elsewhere.guild.add_member(world.env.create_user("noa"))
        assert "seed 1" in await ask(world, there, elsewhere)
        said = await told(world, ada, "admin words remove", word="RED circle")
        assert said.content == "Prompts may contain this again: ||``red circle``||"
        assert "seed 1" in await ask(world)
        added, removed = await audited(world)
        assert added == Change("words add", "red circle", "not there", "word, says “No circles today.”")
        assert removed == Change("words remove", "red circle", "word, says “No circles today.”", "not there")


async def test_a_pattern_and_an_old_one_that_is_too_slow(world: World) -> None:
    ada = admin_of(world)
    await write_words(world, Word("(?<!b)(a+)+$", "pattern", None))
    await told(world, ada, "admin words add", word=r"c.rcle\b", pattern=True)
    assert await ask(world) == f"{NOT_WANTED}\n``a red circle --seed 1``"
    assert (await ask(world, prompt="a" * 3000 + "!")).startswith(f"{TOO_SLOW}\n``aaa")


async def test_wrong_words_are_refused_with_what_is_wrong(world: World) -> None:
    ada = admin_of(world)
    for options, sentence in [
        ({"word": "(", "pattern": True}, "This pattern cannot be used: a `)` is missing."),
        ({"word": "x" * 201, "pattern": True}, "A pattern has at most 200 characters; this one has 201."),
        ({"word": "x" * 101}, "A word has at most 100 characters; this one has 101."),
        ({"word": "\u200b"}, "A word needs at least one character that can be seen."),
    ]:
        assert (await told(world, ada, "admin words add", **options)).content == sentence
    said = await told(world, ada, "admin words remove", word="||duck")
    assert said.content == "||``|\u200b|duck``|| is not in the list; /admin words list shows what is."
    assert await audited(world) == []


async def write_words(world: World, *words: Word, guild_id: int | None = None) -> None:
    def write(connection: Any) -> None:
        for word in words:
            moderation.add_word(connection, guild_id or world.channel.guild.id, word)

    await world.env.bot.database.write(write)


async def test_a_server_has_no_more_words_and_patterns_than_it_may(world: World) -> None:
    ada = admin_of(world)
    await write_words(world, *(Word(f"w{number}", "word", None) for number in range(WORDS_MAX)))
    await write_words(world, *(Word(f"p{number}", "pattern", None) for number in range(PATTERNS_MAX)))
    said = await told(world, ada, "admin words add", word="one more")
    assert said.content == "A server has at most 500 words: remove one before you add another."
    said = await told(world, ada, "admin words add", word="one more", pattern=True)
    assert said.content == "A server has at most 25 patterns: remove one before you add another."
    await told(world, ada, "admin words add", word="w7", sentence="Changed.")
    said = await told(world, ada, "admin words add", word="w7", sentence="Changed.")
    assert said.content.startswith("Prompts were already not allowed to contain this: ||``w7``||")
    assert [change.action for change in await audited(world)] == ["words add"]


async def test_the_list_of_words_is_hidden_and_harmless_in_pages(world: World) -> None:
    ada = admin_of(world)
    empty = await told(world, ada, "admin words list")
    assert empty.content == "Prompts in this server may contain anything: there are no words and no patterns."
    await write_words(world, Word("duck", "word", None), Word("(a||b``@everyone)c", "pattern", "See <#1> ||`||."))
    await write_words(world, *(Word(f"w{number:02} " + "x" * 95, "word", "y" * 200) for number in range(14)))
    message = await told(world, ada, "admin words list")
    heading, first, second, *rest = message.content.splitlines()
    assert heading == "**Prompts in this server may not contain** these words (15) and patterns (1) · page 1 of 2"
    assert first == "||``(a|\u200b|b`\u200b`@everyone)c``|| (pattern) · says ``See <#1> ||`||.``"
    assert second == "||``duck``||"
    assert len(rest) == 13
    await ada.click(message, label="Next")
    message = world.channel.history(viewer=ada)[-1]
    assert message.content.splitlines()[1].startswith("||``w13 xxx")


async def test_old_patterns_that_cannot_be_read_are_listed_and_refuse_until_they_are_replaced(
    world: World,
) -> None:
    ada = admin_of(world)
    huge = r"[\p{Lu}\p{Ll}]{4700}a"
    await write_words(
        world, Word("duck", "word", None), Word("(?<!un)safe", "pattern", None), Word(r"c.t\b", "pattern", None)
    )
    assert await ask(world, prompt="a safe place") == f"{NOT_WANTED}\n``a safe place --seed 1``"
    heading, counts, first, *rest = (await told(world, ada, "admin words list")).content.splitlines()
    assert heading == "**1 pattern has to be replaced**"
    assert counts == "**Prompts in this server may not contain** these words (1) and patterns (2)"
    assert first == (
        "||``(?<!un)safe``|| (pattern) · **replace it**, it still refuses what it matches: This pattern cannot be "
        "used: look-ahead and look-behind are not supported; ask for one thing, or add several patterns."
    )
    assert rest == ["||``c.t\\b``|| (pattern)", "||``duck``||"]
    await write_words(world, Word(huge, "pattern", None))
    world.env.bot.jobs.admission.forget_words(world.channel.guild.id)
    assert await ask(world, prompt="a bird") == f"{NOT_USABLE}\n``a bird --seed 1``"
    listed = (await told(world, ada, "admin words list")).content
    assert "**2 patterns have to be replaced**" in listed
    assert "**replace it**, it refuses every prompt: This pattern cannot be used: repeats go up to 1,000" in listed
    refused = await told(world, ada, "admin words add", word=huge, pattern=True)
    assert refused.content == "This pattern cannot be used: repeats go up to 1,000, and nested ones are multiplied."
    await told(world, ada, "admin words remove", word=huge)
    assert "circle" in await ask(world)


async def test_the_words_of_this_server_are_offered_and_long_patterns_can_be_removed(world: World) -> None:
    ada, (elsewhere, _) = admin_of(world), another_server(world)
    long = ["b" * 120 + "c", "d" * 150 + "e", "d" * 150 + "f"]
    await write_words(world, Word("duck", "word", None), *(Word(text, "pattern", None) for text in long))
    await write_words(world, Word("secret", "word", None), guild_id=elsewhere.guild.id)
    offered = await ada.autocomplete(world.channel, "admin words remove", "word", "")
    assert [choice["value"] for choice in offered] == ["b" * 99 + "…", "d" * 99 + "…", "d" * 99 + "…", "duck"]
    offered = await ada.autocomplete(world.channel, "admin words remove", "word", "UCK")
    assert [choice["name"] for choice in offered] == ["duck"]
    said = await told(world, ada, "admin words remove", word="b" * 99 + "…")
    assert "bbb" in said.content
    said = await told(world, ada, "admin words remove", word="d" * 99 + "…")
    assert said.content == "Several patterns begin like that: write the whole pattern."
    await told(world, ada, "admin words remove", word=long[2])
    left = await moderation.words_of(world.env.bot.database, world.channel.guild.id)
    assert [word.word for word in left] == [long[1], "duck"]
