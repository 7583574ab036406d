"""The spec in a picture's metadata: ours, other tools', damaged and hostile."""

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
from bot.requests.models import Models
from bot.requests.parameters import a1111_parameters, encode_picture
from bot.requests.spec import ImageSpec
from bot.requests.untrusted_parameters import _FIELD_TYPES, _READERS, read_spec
from tests.helpers.specs import BASE, CAT, DEMO, specs
from zimage_engine.types import RawImage

A1111 = "a cat\nSteps: 8, Sampler: Euler, CFG scale: 1, Seed: 7, Size: 256x256, Model: Z-Image demo"


def ours(**changes: object) -> dict[str, str]:
    return {"zimage": json.dumps(CAT.fields() | changes)}


@given(specs())
def test_our_own_field_gives_the_spec_back(spec: ImageSpec) -> None:
    assert read_spec({"zimage": spec.to_json(), "parameters": A1111}, Models((BASE,))) == spec


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
    assert read_spec({"parameters": a1111_parameters(plain)}, Models((BASE,))) == plain


def test_a_picture_of_ours_brings_its_spec() -> None:
    png = encode_picture(RawImage(256, 256, bytes(3 * 256 * 256)), CAT)
    with Image.open(BytesIO(png)) as picture:
        assert read_spec(picture.info, Models((DEMO,))) == CAT


def test_what_other_tools_write_is_read() -> None:
    text = (
        'a "big" cat,\r\n(sitting:1.2) <lora:x:1>\r\nNegative prompt: blur,\r\ntext\r\n'
        "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 42, Size: 1024x768, "
        'Model hash: 6ce0161689, Model: "a, \\"quoted\\" model", Lora hashes: "x: 1, Seed: 9", Version: v1.10.1\r\n'
        "Template: a cat"
    )
    assert read_spec({"parameters": text}, Models((BASE,))) == ImageSpec(
        'a "big" cat,\n(sitting:1.2) <lora:x:1>', 1024, 768, 42, 28, 4.5, "blur,\ntext", 'a, "quoted" model'
    )


def test_a_scale_of_one_or_none_is_no_guidance_and_its_negative_prompt_had_no_effect() -> None:
    text = A1111.replace("\n", "\nNegative prompt: blur\n")
    for scale in ("1", "1.0", "0"):
        assert read_spec({"parameters": text.replace("scale: 1", f"scale: {scale}")}, Models((DEMO,))) == CAT
    assert read_spec({"parameters": A1111.replace("CFG scale: 1, ", "")}, Models((DEMO,))) == CAT


def test_of_a_setting_that_stands_twice_the_first_counts() -> None:
    assert read_spec({"parameters": A1111 + ", Seed: 9"}, Models((DEMO,))) == CAT


def test_no_file_is_named_by_a_stranger() -> None:
    spec = read_spec(ours(strength=0.6, source="../../etc/passwd", mask="0" * 32), Models((DEMO,)))
    assert (spec.original, spec.mask, spec.strength) == ("", "", 0.6)


def test_what_is_shown_is_harmless_text() -> None:
    spec = read_spec(
        ours(prompt="a \x1b[31mred\u202e \ud800cat\0\x07\n@everyone", model="/etc/\n" + "x" * 500), Models((DEMO,))
    )
    assert spec.prompt == "a red cat\n@everyone"
    assert spec.model == "/etc/ " + "x" * 73 + "…"


@pytest.mark.parametrize("field", ["prompt", "width", "height", "seed", "steps", "guidance_scale", "model"])
@pytest.mark.parametrize("value", [None, True, [], {}, 1.5e300, "8", -1])
def test_a_field_of_the_wrong_kind_is_refused(field: str, value: object) -> None:
    if (field, value) in [("prompt", "8"), ("model", "8")]:
        return
    with pytest.raises(Refusal):
        read_spec(ours(**{field: value}), Models((DEMO,)))


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
    began = time.thread_time()
    with pytest.raises(Refusal) as caught:
        read_spec(text, Models((DEMO,)))
    assert time.thread_time() - began < 0.3
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
        spec = read_spec(text, Models((DEMO,)))
    except Refusal as refusal:
        assert str(refusal).endswith(".")
    else:
        DEMO.check(spec.request(""))
        spec.prompt.encode()
        assert (spec.original, spec.mask) == ("", "")


def test_every_field_of_a_spec_that_is_read_has_a_reader() -> None:
    assert set(_FIELD_TYPES.values()) <= set(_READERS)


def test_guidance_for_a_model_without_is_refused_in_words() -> None:
    said = "^Z-Image demo takes no guidance, which this picture's parameters have; send another picture.$"
    with pytest.raises(Refusal, match=said):
        read_spec(ours(guidance_scale=1.5, model=""), Models((DEMO,)))
