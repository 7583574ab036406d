"""Buttons, menus and modals that commit 2c37dfa sent still work: each custom_id is understood as it was then."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.views.modals import read_form
from tests.helpers.dynamic_items import dynamic_items

OLD: dict[str, Any] = json.loads((Path(__file__).parent / "custom_ids_2c37dfa.json").read_text(encoding="utf-8"))


def template(kind: Any) -> Any:
    return kind.__discord_ui_compiled_template__


SAMPLES = {"[0-9a-f]{12}": "0123456789ab", r"\d{1,18}": "123456789012345678", r"\d{1,9}": "123456789"}


def examples(pattern: str) -> list[str]:
    """Return custom_ids that a template of then matches: one for each name in it."""
    sampled = re.sub(r"\(\?P<\w+>(.+?)\)", lambda group: SAMPLES.get(group[1], group[0]), pattern.removesuffix(r"\Z"))
    names = re.search(r"\(\?P<\w+>(.+?)\)", sampled)
    return [sampled.replace(names[0], name) for name in names[1].split("|")] if names else [sampled]


@pytest.mark.parametrize("pattern", OLD["templates"])
def test_every_custom_id_of_a_template_is_still_understood(pattern: str) -> None:
    """A template may take more names than it did, and never fewer."""
    for custom_id in examples(pattern):
        then = re.match(pattern, custom_id)
        assert then is not None, custom_id
        (match,) = [match for kind in dynamic_items() if (match := template(kind).match(custom_id))]
        assert match.groupdict() == then.groupdict()


@pytest.mark.parametrize("old", OLD["items"], ids=lambda old: old["custom_id"])
async def test_a_custom_id_is_understood_as_before(old: dict[str, Any]) -> None:
    matches = [(kind, match) for kind in dynamic_items() if (match := template(kind).match(old["custom_id"]))]
    ((kind, match),) = matches
    assert match.groupdict() == old["arguments"]
    interaction: Any = None
    item: Any = await kind.from_custom_id(interaction, interaction, match)
    assert item.custom_id == old["custom_id"]


@pytest.mark.parametrize("old", OLD["modals"], ids=lambda old: old["data"]["custom_id"])
def test_a_filled_in_modal_is_read_as_before(old: dict[str, Any]) -> None:
    interaction: Any = SimpleNamespace(data=old["data"])
    form = read_form(interaction)
    assert form is not None
    expected = dict(old["form"])
    strength = expected.pop("strength")
    read = json.loads(json.dumps(asdict(form)))
    del read["texts"]
    assert read == expected
    assert form.options().strength == (float(strength) if strength else None)
    assert not [kind for kind in dynamic_items() if template(kind).match(old["data"]["custom_id"])]
