"""Buttons, menus and modals that commit 2c37dfa sent still work: each custom_id is understood as it was then."""

from __future__ import annotations

import json
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


def test_every_template_is_still_listened_for() -> None:
    assert set(OLD["templates"]) <= {template(kind).pattern for kind in dynamic_items()}


@pytest.mark.parametrize("old", OLD["items"], ids=lambda old: old["custom_id"])
async def test_a_custom_id_is_understood_as_before(old: dict[str, Any]) -> None:
    matches = [(kind, match) for kind in dynamic_items() if (match := template(kind).match(old["custom_id"]))]
    ((kind, match),) = matches
    assert match.re.pattern == old["template"]
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
