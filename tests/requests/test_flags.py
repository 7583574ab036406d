"""Flags in a prompt: those that are read, those that are refused, and dashes that are none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.requests.drafts import flags_text
from bot.requests.flags import EDIT_FLAGS, FLAGS, has_flag, options_with_flags, read_flags
from bot.requests.midjourney_flags import MIDJOURNEY_FLAGS, SAME_AS
from bot.requests.models import Models
from bot.requests.refusals import RequestRefused
from bot.requests.spec import ImageOptions
from zimage_engine.catalog import find_profile
from zimage_engine.types import InvalidRequest

BASE = find_profile("base")
TURBO = find_profile("turbo")


def read(prompt: str, **given: Any) -> ImageOptions:
    return read_flags(ImageOptions(prompt, **given))


def refused(prompt: str, flags: Any = FLAGS, **given: Any) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        read_flags(ImageOptions(prompt), flags, **given)
    return caught.value


def offered(error: RequestRefused) -> tuple[str, str]:
    """Return the label and the prompt of the only alternative."""
    (alternative,) = error.alternatives
    return alternative.label, alternative.options.prompt


def test_flags_as_people_know_them() -> None:
    assert read("a cat --ar 16:9 --seed 7 --steps 8 --no blur, text --count 2 --size large --private") == ImageOptions(
        "a cat", negative="blur, text", aspect="16:9", size="large", count=2, seed=7, steps=8, private=True
    )


@pytest.mark.parametrize(
    "text",
    [
        "a cat —ar 3:2",
        "a cat –ar 3:2",
        "a cat ——ar 3:2",
        "a cat –-ar 3:2",
        "a cat −−ar 3:2",
        "a cat －－ａｒ ３：２",
        "a cat ‐‐ar 3:2",
        "a cat --AR 3:2",
        "--ar 3:2 a cat",
        "a cat --ar=3:2",
        "a cat --ar:3:2",
        "a cat --ar ：3:2",
        "a cat --ar3:2",
        "a cat --ar\n3:2",
        "a cat --ar\u30003:2",
        "a cat\u00a0--ar\u00a03:2",
        "a cat\u200b--ar 3:2",
        "a cat --ar 3：2",
        "a cat --ar 3∶2",
        "a cat --ar ٣:٢",
        "a cat --ar 3:2,",
        "a cat --ar 3:2.",
        "a cat --ar 3:2。",
        "a cat --ar “3:2”",
        "a cat `--ar 3:2`",
        "a cat --ar 3:2**",
    ],
)
def test_flags_as_phones_and_people_write_them(text: str) -> None:
    read_options = read(text)
    assert read_options.aspect is not None
    assert (read_options.prompt.strip("` \u200b"), read_options.aspect) == ("a cat", "3:2")


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("一只猫--ar 16:9", "一只猫"),
        ("一只猫——ar 16:9", "一只猫"),
        ("一只猫—ar 16:9", "一只猫"),
        ("一只猫。--ar 16:9", "一只猫。"),
        ("--ar 16:9一只猫", "一只猫"),
        ("--ar 16:9，一只猫", "一只猫"),
        ("ねこ--ar 16:9", "ねこ"),
        ("고양이--ar 16:9", "고양이"),
        ("🐱--ar 16:9", "🐱"),
        ("a cat,--ar 16:9", "a cat,"),
        ("(a cat)--ar 16:9", "(a cat)"),
        ("--ar 16:9\u3000一只猫\n坐着", "一只猫\n坐着"),
    ],
)
def test_a_flag_may_follow_text_without_a_space_and_precede_chinese(text: str, prompt: str) -> None:
    assert read(text) == ImageOptions(prompt, aspect="16:9")


def test_flags_may_follow_each_other_without_a_space() -> None:
    assert read("a cat --private--ar 3:2") == ImageOptions("a cat", aspect="3:2", private=True)


@pytest.mark.parametrize(
    "text",
    [
        "a well-known cat",
        "a cat -- sitting",
        "a cat — sitting",
        "T-shirt --",
        "1990–2000",
        "a--b",
        "C--",
        "a cat —a very fat one",
        "a cat —foo",
        "a cat——非常胖——坐着",
        "一只猫--非常胖",
        "a cat —size matters",
        "a cat —seed of doubt",
        "a cat —private garden",
        "a lamp —tile floor",
        "Water Lilies —style of Monet",
        "-ar 16:9",
        "½ cat, ﬁne ＡＢＣ",
    ],
)
def test_prose_keeps_its_dashes_and_its_characters(text: str) -> None:
    assert read(text) == ImageOptions(text)
    assert not has_flag(text)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a cat --private", {"private": True}),
        ("a cat --private on", {"private": True}),
        ("a cat —private", {"private": True}),
        ("a cat --private off", {"private": False}),
        ("a cat --Private: OFF,", {"private": False}),
        ("--private a cat", {"private": True}),
        ("a cat --private --seed 7", {"private": True, "seed": 7}),
        ("a cat --count ２,", {"count": 2}),
        ("a cat --guidance 3,5", {"guidance": 3.5}),
        ("a cat --no ｂｌｕｒ", {"negative": "ｂｌｕｒ"}),
    ],
)
def test_values(text: str, options: dict[str, Any]) -> None:
    assert read(text) == ImageOptions("a cat", **options)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a cat --ar foo", "`--ar` takes width:height from 1:4 to 4:1, like 16:9, not “foo”."),
        ("a cat --ar/16:9", "`--ar` takes width:height from 1:4 to 4:1, like 16:9, not “/16:9”."),
        ("a cat --size huge", "`--size` takes small, medium, large or pixels like 256x256, not “huge”."),
        ("a cat --seed", "`--seed` takes a whole number from 0 to 4294967295."),
        ("a cat —seed", "`--seed` takes a whole number from 0 to 4294967295."),
        ("a cat —ar 16.9.1", "`--ar` takes width:height"),
        ("a cat --seed x7", "`--seed` takes a whole number from 0 to 4294967295, not “x7”."),
        ("a cat --seed 1,234", "`--seed` takes a whole number from 0 to 4294967295, not “1,234”."),
        ("a cat --seed " + "9" * 5000, "`--seed` takes a whole number"),
        ("a cat --steps 8.5", "`--steps` takes a whole number"),
        ("a cat --guidance high", "`--guidance` takes a number"),
        ("a cat --no", "`--no` takes what the picture should not show"),
        ("a cat --seed 1 --seed 2", "`--seed` is given twice: give it once."),
        ("a cat --ar foo --seed x", "like 16:9, not “foo”. `--seed` takes a whole number"),
    ],
)
def test_a_bad_value_is_named_with_what_the_flag_takes(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(text)
    assert sentence in str(caught.value)


def test_a_value_that_the_model_or_the_operator_does_not_allow_is_told_with_the_range() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_flags(ImageOptions("a cat --count 9 --steps 99 --seed -5"), models=Models((BASE,)), max_count=4)
    assert str(caught.value) == (
        "`--count` takes a whole number from 1 to 4, not “9”. `--steps` takes a whole number from 10 to 50, not “99”. "
        "`--seed` takes a whole number from 0 to 4294967295, not “-5”."
    )


def test_a_flag_beside_its_option_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="`--seed` is given twice"):
        read("a cat --seed 1", seed=2)


def test_flags_of_midjourney_are_named_all_at_once_with_what_is_left_without_them() -> None:
    error = refused("a cat --v 7 --stylize 250 --tile --chaos 20 --niji")
    assert str(error) == "`--v`, `--stylize`, `--tile`, `--chaos` and `--niji` work in Midjourney, not here."
    assert offered(error) == ("Generate without them", "a cat")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a cat --v 6.1", "a cat"),
        ("a cat --v6.1", "a cat"),
        ("a cat --niji 6, sitting", "a cat sitting"),
        ("a cat --niji sitting", "a cat sitting"),
        ("a cat —v 7", "a cat"),
        ("a cat —tile", "a cat"),
        ("一只猫--v 7", "一只猫"),
        ("--v 7一只猫", "一只猫"),
        ("a cat --style raw --ar 3:2", "a cat --ar 3:2"),
        ("--ar 3:2, --tile, a cat", "a cat --ar 3:2,"),
        ("a cat --cref https://x.y/a.png https://x.y/b.png --cw 0", "a cat"),
        ("a cat --sref 12345 random --sw=50 red", "a cat red"),
        ("a cat --p abc123 --q .5", "a cat"),
        ("a cat --no blur --v 7 sitting —ar 3:2", "a cat sitting —ar 3:2 --no blur"),
        ("a cat --private --hd", "a cat --private"),
        ("a cat --foo 3", "a cat"),
        ("a cat --foo sitting", "a cat sitting"),
        ("a cat --no-blur", "a cat"),
    ],
)
def test_without_unknown_flags_the_others_stay_as_typed(text: str, left: str) -> None:
    label, prompt = offered(refused(text))
    assert label.startswith("Generate without")
    assert prompt == left


def test_what_was_given_as_an_option_stays_in_the_alternative() -> None:
    with pytest.raises(RequestRefused) as caught:
        read("a cat --tile", seed=7, size="large")
    (alternative,) = caught.value.alternatives
    assert alternative.options == ImageOptions("a cat", seed=7, size="large")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a cat --tile", "`--tile` works in Midjourney, not here."),
        ("a cat --foo 3", "There is no flag `--foo`; the flags here are `--ar`, `--aspect`"),
        ("a cat --foo --3d", "There are no flags `--foo` and `--3d`; the flags here are `--ar`"),
        ("a cat --strength 0.5", "`--strength` works only when you change a picture."),
        ("a cat --tile --foo --ar x", "`--tile` works in Midjourney, not here. There is no flag `--foo`; the flags"),
        ("a cat --tile --ar x", "`--tile` works in Midjourney, not here. `--ar` takes width:height"),
        ("a cat " + " ".join(f"--x{n}" for n in range(12)), "`--x9` and 2 more; the flags here"),
        ("a cat --" + "x" * 500, f"There is no flag `--{'x' * 30}`;"),
    ],
)
def test_unknown_flags_are_named(text: str, sentence: str) -> None:
    assert sentence in str(refused(text))


@pytest.mark.parametrize(
    ("text", "flag", "prompt"),
    [
        ("a cat --sede 5", "seed", "a cat --seed 5"),
        ("a cat --stpes 8", "steps", "a cat --steps 8"),
        ("a cat --szie=large", "size", "a cat --size=large"),
        ("a cat --aspekt 3:2 --seed 7", "aspect", "a cat --aspect 3:2 --seed 7"),
        ("a cat --repeat 4", "count", "a cat --count 4"),
        ("a cat --negativ blur", "negative", "a cat --negative blur"),
    ],
)
def test_a_typing_error_is_corrected_if_the_member_agrees(text: str, flag: str, prompt: str) -> None:
    error = refused(text)
    assert str(error).endswith(f". Did you mean `--{flag}`?")
    assert offered(error) == ("Generate", prompt)


def test_a_typing_error_beside_an_unknown_flag() -> None:
    error = refused("a cat --sede 5 --tile")
    assert str(error) == ("`--tile` works in Midjourney, not here. There is no flag `--sede`. Did you mean `--seed`?")
    assert offered(error) == ("Generate without the others", "a cat --seed 5")


@pytest.mark.parametrize("text", ["a cat --sede x", "a cat --sede 5 --seed 7", "a cat --seed 7 --sede 5"])
def test_what_cannot_be_meant_is_not_proposed(text: str) -> None:
    assert "Did you mean" not in str(refused(text)) or "--seed 7" not in text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "a cat --r 9",
            "There is no flag `--r`. Did you mean `--count`? `--count` takes a whole number from 1 to 4, not ",
        ),
        (
            "a cat --stpes 99",
            "There is no flag `--stpes`. Did you mean `--steps`? `--steps` takes a whole number from ",
        ),
    ],
)
def test_a_typing_error_with_a_value_out_of_range_is_not_offered(text: str, sentence: str) -> None:
    error = refused(text, models=Models((TURBO,)), max_count=4)
    assert str(error).startswith(sentence)
    assert error.alternatives == ()


@pytest.mark.parametrize(("text", "name"), [("a cat --neg blur", "neg"), ("a cat --guidence 4", "guidence")])
def test_a_typing_error_in_a_flag_that_the_model_does_not_take(text: str, name: str) -> None:
    error = refused(text, models=Models((TURBO,)), max_count=4)
    assert str(error).startswith(f"{TURBO.title} does not take `--{name}`")
    assert offered(error) == ("Generate without it", "a cat")


@pytest.mark.parametrize("text", ["--v 7 --tile", "a cat --tile --ar x"])
def test_nothing_is_offered_where_no_prompt_or_a_bad_value_is_left(text: str) -> None:
    assert refused(text).alternatives == ()


def test_flags_that_the_model_does_not_take_are_told_with_the_others() -> None:
    error = refused("a cat --no text --tile --guidance 4", models=Models((TURBO,)), max_count=4)
    assert str(error) == (
        "`--tile` works in Midjourney, not here. "
        f"{TURBO.title} does not take `--no`: say in the prompt what you want to see instead. "
        f"{TURBO.title} does not take `--guidance`."
    )
    assert offered(error) == ("Generate without them", "a cat")
    assert read_flags(ImageOptions("a cat --guidance 0"), models=Models((TURBO,)), max_count=4).guidance == 0
    assert "`--no`" not in str(refused("a cat --foo", models=Models((TURBO,)), max_count=4))


def test_which_options_a_text_sets() -> None:
    assert options_with_flags("a cat —strength 0.3 --SEED 7 --v 7 —a dog") == {"strength", "seed"}
    assert options_with_flags("a cat") == frozenset()


@pytest.mark.parametrize("text", ["a cat --strength 2", "a cat --tile", "a cat --sede 5", "a cat--ar 3:2,--v 7"])
def test_a_text_with_a_flag_asks_for_an_edit(text: str) -> None:
    assert has_flag(text) == (" --" in text or ",--" in text)


def test_a_text_with_a_dash_is_talk() -> None:
    assert not has_flag("nice --lol")


PIECES = st.lists(
    st.text(max_size=6)
    | st.sampled_from(["--", "—", "——", " ", "16:9", "7", "0.5", "on", "猫", ",", "=", "`", "https://x.y"])
    | st.sampled_from([*EDIT_FLAGS, *MIDJOURNEY_FLAGS, *SAME_AS, "sede", "foo"]).map(lambda name: f" --{name} "),
    max_size=14,
).map("".join)

ANY_MODELS = st.sampled_from([None, Models((BASE,)), Models((TURBO,)), Models((TURBO, BASE)), Models((BASE, TURBO))])


@given(PIECES | st.text(max_size=200), st.sampled_from([FLAGS, EDIT_FLAGS]), ANY_MODELS, st.booleans())
def test_any_text_is_read_or_refused_in_a_sentence(text: str, flags: Any, models: Any, any_model: bool) -> None:  # noqa: FBT001
    try:
        options = read_flags(ImageOptions(text), flags, models=models, max_count=4, any_model=any_model)
    except RequestRefused as error:
        assert str(error).endswith((".", "?"))
        for alternative in error.alternatives:
            assert read_flags(alternative.options, flags, models=models, max_count=4, any_model=any_model).prompt
    except InvalidRequest as error:
        assert str(error).endswith(".")
    else:
        rest = iter(text)
        assert all(letter in rest for letter in options.prompt if not letter.isspace()), "only flags are removed"


WORDS = st.text(st.characters(categories=["Ll", "Lu", "Lo"]), min_size=1, max_size=8)


@given(st.text(max_size=200).filter(lambda text: "--" not in text))
def test_prose_without_flags_is_untouched(text: str) -> None:
    if not has_flag(text):
        assert read(text) == ImageOptions(text)


@given(
    words=st.lists(WORDS, min_size=1, max_size=6),
    flags=st.dictionaries(st.sampled_from(["seed", "steps", "count"]), st.integers(0, 10**9), max_size=3),
    at=st.integers(0, 6),
)
def test_flags_are_found_wherever_they_stand(words: list[str], flags: dict[str, int], at: int) -> None:
    written = [f"--{name} {value}" for name, value in flags.items()]
    options = read(" ".join([*words[:at], *written, *words[at:]]))
    assert options == replace(ImageOptions(" ".join(words)), **flags)


NUMBERS = {
    "seed": st.integers(0, 2**32 - 1),
    "steps": st.integers(10, 50),
    "count": st.integers(1, 4),
    "strength": st.decimals("0.05", 1, places=3).map(float),
    "guidance": st.decimals(0, 8, places=2).map(float),
    "which": st.integers(1, 9),
}
CHOICES = {"aspect": ["16:9", "1:1"], "size": ["large", "512x768"], "fit": ["crop", "pad"]}


@given(
    st.fixed_dictionaries({}, optional={**NUMBERS, **{name: st.sampled_from(CHOICES[name]) for name in CHOICES}}),
    WORDS,
)
def test_what_is_written_as_flags_is_read_as_the_same_options(values: dict[str, Any], words: str) -> None:
    options = ImageOptions(words, **values)
    line = f"{words} {flags_text(options)}".strip()
    assert read_flags(ImageOptions(line), EDIT_FLAGS, models=Models((BASE,)), max_count=4) == options


def test_every_flag_is_an_option() -> None:
    assert {option.name for option in FLAGS.values()} <= set(ImageOptions.__dataclass_fields__)
    assert not MIDJOURNEY_FLAGS.keys() & EDIT_FLAGS.keys()
    assert set(SAME_AS.values()) <= FLAGS.keys()
