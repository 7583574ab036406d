"""The table of options against itself, and against what is written out beside it: signatures and fields."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from discord import AppCommandOptionType, app_commands
from hypothesis import given
from hypothesis import strategies as st

from bot.cli import main as cli
from bot.commands.edit import edit_command
from bot.commands.help import help_text
from bot.commands.imagine import imagine_command
from bot.commands.member_settings import settings_command
from bot.requests.flags import EDIT_FLAGS, FLAGS, read_flags
from bot.requests.models import Models
from bot.requests.option_types import Option, SlashCommand
from bot.requests.options import MODEL, OPTIONS, STRENGTH_MEANING, MemberSettings, options_of
from bot.requests.spec import ImageOptions, ImageSpec
from zimage_engine.catalog import PROFILES
from zimage_engine.profiles import ModelProfile

BY_NAME = {option.name: option for option in OPTIONS}
NOT_OPTIONS = {"prompt", "verbatim", "complete", "image", "source", "mask", "reset", "out", "profile"}
"""What commands and fields have besides options of a picture."""

TYPES = {
    str: AppCommandOptionType.string,
    int: AppCommandOptionType.integer,
    float: AppCommandOptionType.number,
    bool: AppCommandOptionType.boolean,
}
TEXTS = (
    st.text(max_size=30)
    | st.integers(-(10**10), 10**10).map(str)
    | st.decimals(-9999, 9999, places=6).map(lambda number: f"{number:f}")
    | st.tuples(st.integers(1, 9999), st.sampled_from(":x×*/"), st.integers(1, 9999)).map(
        lambda p: f"{p[0]}{p[1]}{p[2]}"
    )
    | st.sampled_from([option.example for option in OPTIONS] + [option.example.upper() for option in OPTIONS])
)
every_option = pytest.mark.parametrize("option", OPTIONS, ids=BY_NAME)
every_profile = pytest.mark.parametrize(
    "profile", [replace(profile, size_multiple=16) for profile in PROFILES.values()], ids=PROFILES
)


@every_option
@given(text=TEXTS)
def test_a_value_is_written_as_it_is_read(option: Option[Any], text: str) -> None:
    value = option.parse(text)
    if value is not None:
        assert type(value) is option.value_type
        assert option.parse(option.format(value)) == value
        assert option.format(option.parse(option.format(value))) == option.format(value)
        assert len(option.format(value)) <= len(text)


@every_option
def test_the_example_is_written_as_it_is_read(option: Option[Any]) -> None:
    value = option.parse(option.example)
    assert value is not None
    assert option.format(value) == option.example


@every_option
@every_profile
@given(data=st.data())
def test_every_number_within_the_bounds_can_be_typed(
    option: Option[Any], profile: ModelProfile, data: st.DataObject
) -> None:
    if option.bounds is None:
        return
    low, high = option.bounds(profile, 4)
    if option.value_type is int:
        value = data.draw(st.integers(int(low), int(high)))
    else:
        value = float(data.draw(st.decimals(str(low), str(high), places=6)))
    assert option.parse(option.format(value)) == value


@every_option
def test_every_flag_sets_its_option(option: Option[Any]) -> None:
    flags = FLAGS if not option.edits_only else EDIT_FLAGS
    for flag in option.flags:
        assert flags[flag] is option
        assert option.takes
        read = read_flags(ImageOptions(f"a cat --{flag} {option.example}"), flags)
        assert read == dataclasses.replace(ImageOptions("a cat"), **{option.name: option.parse(option.example)})
    assert (EDIT_FLAGS.keys() - FLAGS.keys() >= set(option.flags)) == option.edits_only or not option.flags


def test_the_fields_of_options_are_the_table_s() -> None:
    fields = {field.name: field.type for field in dataclasses.fields(ImageOptions) if field.name not in NOT_OPTIONS}
    options = {name: f"{option.value_type.__name__} | None" for name, option in BY_NAME.items()}
    assert fields == options


def test_the_fields_of_member_settings_are_the_table_s() -> None:
    fields = {field.name: field.type for field in dataclasses.fields(MemberSettings)}
    members = {name: f"{option.value_type.__name__} | None" for name, option in BY_NAME.items() if option.member}
    assert list(fields.items()) == list(members.items())
    for option in OPTIONS:
        assert (option.member is not None) == ("settings" in option.slash)
        assert option.member is None or option is MODEL or option.parse(option.member.builtin) is not None


def test_every_field_of_a_spec_is_told_by_an_option() -> None:
    """The prompt, the model, an edit's original and its mask are not typed as options."""
    spec = ImageSpec("a cat", 256, 256, 7, 8, 4.0, "blur", "model", 0.5)
    changes: dict[str, Any] = {"str": "other", "int": 512, "float": 0.25, "bool": True}
    for field in dataclasses.fields(ImageSpec):
        if field.name not in {"prompt", "model", "original", "mask"}:
            changed = dataclasses.replace(spec, **{field.name: changes[str(field.type)]})
            assert options_of(changed) != options_of(spec), field.name
    for option in OPTIONS:
        assert option.of_spec is None or option.name in option.flags, "details write the flag of the option's name"


def command_of(name: SlashCommand, profile: ModelProfile, max_count: int) -> app_commands.Command[Any, ..., None]:
    submission: Any = SimpleNamespace(models=Models((profile,)), max_count=max_count)
    nothing: Any = None
    if name == "settings":
        return settings_command(nothing, submission, max_count)
    return imagine_command(submission) if name == "imagine" else edit_command(submission, nothing, nothing)


@pytest.mark.parametrize("max_count", [1, 4])
@pytest.mark.parametrize("name", get_args(SlashCommand))
@every_profile
def test_slash_commands_offer_what_the_table_says(profile: ModelProfile, name: SlashCommand, max_count: int) -> None:
    parameters = {each.name: each for each in command_of(name, profile, max_count).parameters}
    offered = {option.name for option in OPTIONS if name in option.slash and option.offered_by(profile, max_count)}
    offered -= {MODEL.name}  # there is no choice
    assert parameters.keys() - NOT_OPTIONS == offered
    for option in (BY_NAME[each] for each in offered):
        parameter = parameters[option.name]
        assert parameter.type is TYPES[option.value_type]
        assert not parameter.required
        bounds = option.bounds(profile, max_count) if option.bounds is not None else (None, None)
        assert (parameter.min_value, parameter.max_value) == bounds
        for choice in parameter.choices:
            value = option.parse(str(choice.value))
            assert value is not None
            assert option.format(value) == choice.value


@pytest.mark.parametrize("command", [cli.imagine, cli.edit])
def test_the_command_line_takes_options_of_the_table(command: Any) -> None:
    """It need not have all of them: flags in its prompt set the others."""
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in NOT_OPTIONS:
            assert parameter.annotation.startswith(f"Annotated[{BY_NAME[name].value_type.__name__} | None,")


def test_strength_is_explained_alike_everywhere() -> None:
    strength, profile = BY_NAME["strength"], replace(PROFILES["turbo"], size_multiple=16)
    assert strength.form is not None
    assert strength.form.hint == STRENGTH_MEANING
    assert Models((profile,)).options_in("edit", 4)["strength"] == f"{STRENGTH_MEANING}; usually 0.6"
    assert STRENGTH_MEANING in help_text(Models((profile,)), 4)
    assert STRENGTH_MEANING in inspect.signature(cli.edit).parameters["strength"].annotation
    page = Path(__file__).parents[2] / "docs" / "commands.md"
    assert f"| `strength` | {STRENGTH_MEANING} |" in page.read_text(encoding="utf-8")


@every_profile
def test_help_names_every_option_with_an_example_that_can_be_typed(profile: ModelProfile) -> None:
    text = help_text(Models((profile,)), 4)
    for option in OPTIONS:
        assert not option.help or f"`{option.name}`" in text
        if option.help_flag:
            shown = [f"`--{flag} " in text for flag in option.flags]
            assert any(shown) == option.example_fits(profile, 4)
