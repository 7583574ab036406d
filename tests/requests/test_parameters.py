"""From a picture's metadata to a spec, whatever stands in it, and from a spec to what can be pasted."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.errors import Refusal
from bot.media.metadata import a1111_parameters, encode_png
from bot.requests.flags import EDIT_FLAGS, read_flags
from bot.requests.parameters import parameters_text, read_spec
from bot.requests.spec import MIN_STRENGTH, ImageOptions, ImageSpec, build_edit_spec, build_spec
from zimage_engine.profiles import find_profile
from zimage_engine.types import RawImage

DEMO = replace(find_profile("demo"), size_multiple=32)
BASE = replace(find_profile("base"), size_multiple=16)
CAT = ImageSpec("a cat", 256, 256, 7, 8, 0.0, "", "Z-Image demo")
A1111 = "a cat\nSteps: 8, Sampler: Euler, CFG scale: 1, Seed: 7, Size: 256x256, Model: Z-Image demo"

# What Discord lets through, newlines and flags among it; control characters are dropped when they are read.
PROMPTS = (
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80)
    | st.lists(
        st.sampled_from(
            ["a cat", "--", "—seed", "--seed", "7", "--no", "blur", "--strength", "\n", "C--", "红色", "<@1>"]
        ),
        min_size=1,
        max_size=8,
    ).map(" ".join)
).map(
    lambda text: "".join(c for c in text if c not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069").strip()
)
FILLED = PROMPTS.filter(bool)


@st.composite
def specs(draw: st.DrawFn) -> ImageSpec:
    guidance = draw(st.just(0.0) | st.floats(0, 8) | st.decimals(0, 8, places=1).map(float))
    return ImageSpec(
        prompt=draw(FILLED),
        width=16 * draw(st.integers(32, 64)),
        height=16 * draw(st.integers(32, 64)),
        seed=draw(st.integers(0, 2**32 - 1)),
        steps=draw(st.integers(10, 50)),
        guidance_scale=guidance,
        negative_prompt=draw(PROMPTS) if guidance else "",
        model=BASE.title,
    )


def ours(**changes: object) -> dict[str, str]:
    return {"zimage": json.dumps(CAT.fields() | changes)}


@given(specs())
def test_our_own_field_gives_the_spec_back(spec: ImageSpec) -> None:
    assert read_spec({"zimage": spec.to_json(), "parameters": A1111}, BASE) == spec


@given(specs())
def test_what_other_tools_read_gives_the_spec_back(spec: ImageSpec) -> None:
    plain = replace(
        spec,
        prompt="a cat, " + " ".join(spec.prompt.split()) + "\nsitting",
        negative_prompt=" ".join(spec.negative_prompt.split()),
        guidance_scale=round(spec.guidance_scale, 1),
    )
    if not plain.guidance_scale:
        plain = replace(plain, negative_prompt="")
    assert read_spec({"parameters": a1111_parameters(plain.fields())}, BASE) == plain


def test_a_picture_of_ours_brings_its_spec() -> None:
    png = encode_png(RawImage(256, 256, bytes(3 * 256 * 256)), CAT.fields())
    with Image.open(BytesIO(png)) as picture:
        assert read_spec(picture.info, DEMO) == CAT


def test_what_other_tools_write_is_read() -> None:
    text = (
        'a "big" cat,\r\n(sitting:1.2) <lora:x:1>\r\nNegative prompt: blur,\r\ntext\r\n'
        "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 42, Size: 1024x768, "
        'Model hash: 6ce0161689, Model: "a, \\"quoted\\" model", Lora hashes: "x: 1, Seed: 9", Version: v1.10.1\r\n'
        "Template: a cat"
    )
    assert read_spec({"parameters": text}, BASE) == ImageSpec(
        'a "big" cat,\n(sitting:1.2) <lora:x:1>', 1024, 768, 42, 28, 4.5, "blur,\ntext", 'a, "quoted" model'
    )


def test_a_scale_of_one_or_none_is_no_guidance_and_its_negative_prompt_had_no_effect() -> None:
    text = A1111.replace("\n", "\nNegative prompt: blur\n")
    for scale in ("1", "1.0", "0"):
        assert read_spec({"parameters": text.replace("scale: 1", f"scale: {scale}")}, DEMO) == CAT
    assert read_spec({"parameters": A1111.replace("CFG scale: 1, ", "")}, DEMO) == CAT


def test_of_a_setting_that_stands_twice_the_first_counts() -> None:
    assert read_spec({"parameters": A1111 + ", Seed: 9"}, DEMO) == CAT


def test_no_file_is_named_by_a_stranger() -> None:
    spec = read_spec(ours(strength=0.6, source="../../etc/passwd", mask="0" * 32), DEMO)
    assert (spec.original, spec.mask, spec.strength) == ("", "", 0.6)


def test_what_is_shown_is_harmless_text() -> None:
    spec = read_spec(ours(prompt="a \x1b[31mred\u202e \ud800cat\0\x07\n@everyone", model="/etc/\n" + "x" * 500), DEMO)
    assert spec.prompt == "a red cat\n@everyone"
    assert spec.model == "/etc/ " + "x" * 73 + "…"


@pytest.mark.parametrize("field", ["prompt", "width", "height", "seed", "steps", "guidance_scale", "model"])
@pytest.mark.parametrize("value", [None, True, [], {}, 1.5e300, "8", -1])
def test_a_field_of_the_wrong_kind_is_refused(field: str, value: object) -> None:
    if (field, value) in [("prompt", "8"), ("model", "8")]:
        return
    with pytest.raises(Refusal):
        read_spec(ours(**{field: value}), DEMO)


HOSTILE = {
    "nothing": {},
    "nothing of ours": {"Software": "x"},
    "empty": {"zimage": ""},
    "no object": {"zimage": "[1]"},
    "deep": {"zimage": "[" * 10_000},
    "deep and closed": {"zimage": '{"a":' * 10_000 + "1" + "}" * 10_000},
    "not a number": {"zimage": CAT.to_json().replace("0.0", "NaN")},
    "infinite": {"zimage": CAT.to_json().replace("0.0", "-Infinity")},
    "huge exponent": {"zimage": CAT.to_json().replace("0.0", "1e999999999")},
    "many digits": {"zimage": CAT.to_json().replace("7", "7" * 5000)},
    "many decimals": {"zimage": CAT.to_json().replace("0.0", "0." + "0" * 60_000)},
    "twice": {"zimage": CAT.to_json().replace("{", '{"seed": 8, ')},
    "lacking": {"zimage": '{"prompt": "a cat"}'},
    "long prompt": ours(prompt="x" * 4001),
    "too long": ours(other="x" * 70_000),
    "strength": ours(strength=7),
    "negative prompt": ours(negative_prompt="blur"),
    "other model": ours(steps=50),
    "seed": ours(seed=2**32),
    "only a prompt": {"parameters": "a cat"},
    "empty prompt": {"parameters": A1111.removeprefix("a cat")},
    "big size": {"parameters": A1111.replace("256x", "99999x")},
    "odd size": {"parameters": A1111.replace("256x256", "٢x٢")},
    "many seeds": {"parameters": A1111.replace("Seed: 7", "Seed: " + "7" * 5000)},
    "minus one": {"parameters": A1111.replace("Seed: 7", "Seed: -1")},
    "one word": {"parameters": "Steps: 1, " + "a" * 65_000},
    "spaces": {"parameters": "Steps: 1, " + " " * 65_000 + "a"},
    "colons": {"parameters": "Steps: " + "a:" * 32_000},
    "quotes": {"parameters": "Steps: " + 'a: "' * 16_000},
    "slashes": {"parameters": "Steps: " + 'a:"\\",' * 10_000},
    "open": {"parameters": 'Steps: 1, a: "' + "\\x" * 32_000},
    "commas": {"parameters": "Steps: " + "," * 65_000},
    "lines": {"parameters": "Steps:\n" * 9_000},
    "terminal codes": {"parameters": "\x1b[" * 32_000},
    "one terminal code": {"parameters": "\x1b[" + "0" * 65_000},
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_metadata_ends_soon_and_in_one_sentence(text: dict[str, str]) -> None:
    began = time.perf_counter()
    with pytest.raises(Refusal) as caught:
        read_spec(text, DEMO)
    assert time.perf_counter() - began < 0.3
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert len(sentence) < 250
    assert sentence.isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
WILD = (
    st.text(max_size=200)
    | JSON.map(json.dumps)
    | st.dictionaries(st.sampled_from([*CAT.fields(), "strength", "source"]), JSON).map(
        lambda changes: json.dumps(CAT.fields() | changes)
    )
    | st.lists(st.sampled_from([*A1111.split(" "), "\n", ",", '"', "\\", "Negative prompt:"]), max_size=30).map(
        " ".join
    )
)


@given(st.dictionaries(st.sampled_from(["zimage", "parameters"]), WILD))
def test_any_text_is_a_spec_that_can_be_drawn_or_a_sentence(text: dict[str, str]) -> None:
    try:
        spec = read_spec(text, DEMO)
    except Refusal as refusal:
        assert str(refusal).endswith(".")
    else:
        DEMO.check(spec.request(""))
        spec.prompt.encode()
        assert (spec.original, spec.mask) == ("", "")


@given(specs())
def test_the_line_pasted_as_a_prompt_gives_the_spec_back(spec: ImageSpec) -> None:
    text = parameters_text(spec)
    if text.startswith("prompt: ") and "\n" in text:
        assert f"seed: {spec.seed}\n" in text
    else:
        assert "\n" not in text
        assert build_spec(read_flags(ImageOptions(text)), BASE, max_count=1) == (spec, 1)


@given(specs(), st.floats(MIN_STRENGTH, 1) | st.just(0.6))
def test_the_line_of_an_edit_pasted_there_gives_all_but_its_source_back(spec: ImageSpec, strength: float) -> None:
    edit = replace(spec, strength=strength, original="0" * 32)
    text = parameters_text(edit)
    if "\n" not in text:
        options = read_flags(ImageOptions(text), EDIT_FLAGS)
        settled = build_edit_spec(options, BASE, max_count=1, size=BASE.base_size, masked=False)
        assert settled == (replace(edit, original=""), 1)


def test_the_line_is_easy_to_read() -> None:
    assert parameters_text(CAT) == "a cat --size 256x256 --seed 7 --steps 8 --guidance 0"
    assert "--guidance 4.123456" in parameters_text(replace(CAT, guidance_scale=4.123456))
    edit = replace(CAT, strength=0.6, original="0" * 32, guidance_scale=4.5, negative_prompt="blur, text")
    assert parameters_text(edit) == (
        "a cat --size 256x256 --seed 7 --steps 8 --guidance 4.5 --strength 0.6 --negative blur, text"
    )


@pytest.mark.parametrize("prompt", ["a cat --seed 9", "a cat --foo", "—no blur", "a cat\nsitting", "a\u2028cat"])
def test_a_prompt_that_flags_cannot_carry_stands_line_by_line(prompt: str) -> None:
    lines = parameters_text(replace(CAT, prompt=prompt))
    assert lines == f"prompt: {prompt}\nsize: 256x256\nseed: 7\nsteps: 8\nguidance: 0\nmodel: Z-Image demo"
