"""What of a member's own settings is used for a request, and how they are stored."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.requests.member_settings import apply, read_member_settings, write_member_settings
from bot.requests.options import MemberSettings
from bot.requests.spec import ImageOptions, build_spec
from bot.store.database import Database
from bot.store.member_settings import delete_values
from zimage_engine.catalog import PROFILES
from zimage_engine.profiles import ASPECTS

PROFILE = replace(PROFILES["demo"], size_multiple=16)
ALL = MemberSettings("16:9", "large", 2, private=True)


@pytest.mark.parametrize(
    ("options", "private", "expected", "is_private", "text"),
    [
        (
            ImageOptions("x"),
            None,
            ImageOptions("x", aspect="16:9", size="large", count=2),
            True,
            "16:9, large, 2 pictures, private",
        ),
        (
            ImageOptions("x", aspect="1:1"),
            False,
            ImageOptions("x", aspect="1:1", size="large", count=2),
            False,
            "large, 2 pictures",
        ),
        (
            ImageOptions("x", size="medium", count=1),
            False,
            ImageOptions("x", aspect="16:9", size="medium", count=1),
            False,
            "16:9",
        ),
        (ImageOptions("x", size="320x192", count=1), True, ImageOptions("x", size="320x192", count=1), True, ""),
        (ImageOptions("x", complete=True), False, ImageOptions("x", complete=True), False, ""),
        (
            ImageOptions("x --ar", verbatim=True, aspect="1:1"),
            False,
            ImageOptions("x --ar", verbatim=True, aspect="1:1", size="large", count=2),
            False,
            "large, 2 pictures",
        ),
    ],
)
def test_what_is_not_said_comes_from_the_settings(
    *, options: ImageOptions, private: bool | None, expected: ImageOptions, is_private: bool, text: str
) -> None:
    shown = f"With {text} from your /settings." if text else ""
    assert apply(ALL, options, private, profile=PROFILE, edit=False) == (expected, is_private, shown)


def test_an_edit_keeps_its_shape() -> None:
    options, private, text = apply(ALL, ImageOptions("x"), None, profile=PROFILE, edit=True)
    assert options == ImageOptions("x", count=2)
    assert private
    assert text == "With 2 pictures, private from your /settings."


def test_what_the_model_or_the_operator_does_not_know_any_more_is_left_out() -> None:
    old = MemberSettings("99:1", "small", 4)
    assert apply(old, ImageOptions("x"), None, profile=PROFILE, edit=False, max_count=1) == (
        ImageOptions("x", count=1),
        False,
        "",
    )


maybe = partial(st.one_of, st.none())


@given(
    member_settings=st.builds(
        MemberSettings,
        maybe(st.sampled_from([*ASPECTS, "99:1", "rubbish"])),
        maybe(st.sampled_from(["small", "medium", "large", "giant"])),
        maybe(st.integers(1, 4)),
        maybe(st.booleans()),
    ),
    options=st.builds(
        ImageOptions,
        st.just("a cat"),
        aspect=maybe(st.sampled_from(ASPECTS)),
        size=maybe(st.sampled_from(["medium", "large"])),
        count=maybe(st.integers(1, 4)),
        verbatim=st.booleans(),
        complete=st.booleans(),
    ),
    private=maybe(st.booleans()),
    edit=st.booleans(),
)
def test_settings_never_overrule_what_was_said_and_never_make_it_impossible(
    *, member_settings: MemberSettings, options: ImageOptions, private: bool | None, edit: bool
) -> None:
    applied, is_private, text = apply(member_settings, options, private, profile=PROFILE, edit=edit)
    for name in ("prompt", "aspect", "size", "count", "seed", "verbatim", "complete"):
        said = getattr(options, name)
        assert said is None or getattr(applied, name) == said
    assert private is None or is_private == private
    if edit:
        assert (applied.aspect, applied.size) == (options.aspect, options.size)
    build_spec(applied, PROFILE, max_count=4)
    assert bool(text) == bool(text.removeprefix("With ").removesuffix(" from your /settings."))
    if member_settings == MemberSettings():
        assert (applied, is_private, text) == (options, bool(private), "")


async def test_settings_are_read_as_they_were_written(database: Database) -> None:
    assert await read_member_settings(database, 5) == MemberSettings()
    await database.write(partial(write_member_settings, member_id=5, member_settings=ALL))
    await database.write(partial(write_member_settings, member_id=5, member_settings=MemberSettings(private=False)))
    assert await read_member_settings(database, 5) == replace(ALL, private=False)
    assert await read_member_settings(database, 6) == MemberSettings()
    await database.write(partial(delete_values, member_id=5))
    assert await read_member_settings(database, 5) == MemberSettings()
