"""A picture that commit 2c37dfa wrote: its ``zimage`` JSON has the key ``source`` for what an edit was made from."""

from __future__ import annotations

import json
from pathlib import Path

from bot.media.metadata import read_fields
from bot.requests.spec import ImageSpec

PICTURE = Path(__file__).parent / "edit_2c37dfa.png"


def test_the_spec_in_an_old_picture_is_read() -> None:
    fields = read_fields(PICTURE.read_bytes())
    assert fields is not None
    assert (fields["source"], fields["mask"]) == ("a" * 32, "b" * 32)
    spec = ImageSpec.from_json(json.dumps(fields))
    assert (spec.original, spec.mask) == ("a" * 32, "b" * 32)
    assert (spec.prompt, spec.negative_prompt) == ("a green circle on a blue background", "blur")
    assert (spec.width, spec.height, spec.seed, spec.steps, spec.strength) == (256, 256, 7, 8, 0.6)
    assert spec.fields() == fields
