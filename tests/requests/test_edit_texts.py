"""The texts of edits: what follows ``edit:``, what ``+`` adds to, and which texts are instructions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.errors import Refusal
from bot.requests.edit_texts import complete_prompt, example_of_result, is_instruction, text_after_command
from bot.requests.refusals import RequestRefused
from bot.requests.spec import ImageOptions
from zimage_engine.catalog import find_profile

ORIGINAL = "a red circle on a blue background"
PROFILE = replace(find_profile("demo"), editing="img2img")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("edit: at night", "at night"),
        ("Edit：+ at night", "+ at night"),
        ("/edit at night", "at night"),
        ("edit at night", "at night"),
        ("edit", ""),
        ("editors at night", None),
        ("an edit: at night", None),
    ],
)
def test_what_follows_the_word(text: str, wanted: str | None) -> None:
    assert text_after_command(text) == wanted


@pytest.mark.parametrize(
    ("text", "original", "wanted"),
    [
        ("+ at night", "a lighthouse", "a lighthouse, at night"),
        ("+at night", "a lighthouse.", "a lighthouse, at night"),
        ("＋ 夜晚", "一座灯塔。", "一座灯塔，夜晚"),
        ("+1 upvote button", "a lighthouse", "+1 upvote button"),
        ("C++ code", "a lighthouse", "C++ code"),
    ],
)
def test_a_plus_adds_to_the_original_prompt(text: str, original: str, wanted: str) -> None:
    assert complete_prompt(ImageOptions(text), original, PROFILE).prompt == wanted


@pytest.mark.parametrize(("text", "original"), [("+ at night", ""), ("+ ", "a lighthouse")])
def test_a_plus_with_nothing_on_one_side_is_refused(text: str, original: str) -> None:
    with pytest.raises(Refusal):
        complete_prompt(ImageOptions(text), original, PROFILE)


@pytest.mark.parametrize(
    "text",
    [
        "make it green",
        "Please make the sky darker",
        "turn the circle red",
        "change the background to white",
        "change colour to green",
        "add a hat",
        "add snow",
        "remove the star",
        "remove background",
        "replace the cat with a dog",
        "put a hat on him",
        "give her glasses",
        "把圆变成绿色",
        "把背景换成白色",
        "请把星星去掉",
        "加一顶帽子",
        "加上雪",
        "去掉背景",
        "变成夜晚",
    ],
)
def test_instructions(text: str) -> None:
    assert is_instruction(text)


@pytest.mark.parametrize(
    "text",
    [
        "make-up artist",
        "makeup on a table",
        "make believe, a child's drawing",
        "a turning wheel",
        "turn of the century street",
        "Change Alley at night",
        "add-on lens",
        "adder in the grass",
        "remove before flight, a red ribbon",
        "a sign: remove the star",
        "put option chart",
        "giving hands",
        "give peace a chance, a mural",
        "a girl who makes it rain",
        "加州海滩",
        "加拿大的秋天",
        "将军骑马",
        "把手",
        "一只变成石头的猫",
        "at night",
    ],
)
def test_descriptions(text: str) -> None:
    assert not is_instruction(text)


@pytest.mark.parametrize(
    ("text", "original", "wanted"),
    [
        ("make it green", ORIGINAL, "a green circle on a blue background"),
        ("turn the circle yellow", ORIGINAL, "a yellow circle on a blue background"),
        ("make the background green", ORIGINAL, "a red circle on a green background"),
        ("把圆变成绿色", "蓝色背景上的红色圆", "蓝色背景上的绿色圆"),
        ("add a hat", "a cat", "a cat, with a hat"),
        ("make it green", "", "a green circle on a blue background"),
        ("remove the star", "a star", "a green circle on a blue background"),
        ("make it green", "a `red` dot", "a 'green' dot"),
        ("make it green", "red " * 200, "a green circle on a blue background"),
    ],
)
def test_the_example_is_made_from_the_picture_s_own_prompt(text: str, original: str, wanted: str) -> None:
    assert example_of_result(text, original) == wanted


def test_an_instruction_is_refused_and_generated_only_if_that_is_chosen() -> None:
    options = ImageOptions("make it green", seed=7)
    with pytest.raises(RequestRefused) as refused:
        complete_prompt(options, ORIGINAL, PROFILE)
    assert str(refused.value) == (
        "This model doesn't take instructions. Describe the whole result: `a green circle on a blue background`."
    )
    (alternative,) = refused.value.alternatives
    assert (alternative.label, alternative.options.seed) == ("Generate anyway", 7)
    assert complete_prompt(alternative.options, ORIGINAL, PROFILE) == alternative.options


def test_a_model_that_takes_instructions_is_given_them() -> None:
    options = ImageOptions("make it green")
    assert complete_prompt(options, ORIGINAL, replace(PROFILE, editing="instruction")) == options
