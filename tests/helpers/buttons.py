"""The buttons under a message and the fields of a form, as a member sees them."""

from __future__ import annotations

from typing import Any

import discord


def button_labels(message: Any) -> list[str | None]:
    """Return the labels of a message's buttons; of a response, which has them as Discord's JSON, too."""
    rows = [row if isinstance(row, dict) else row.to_dict() for row in message.components]
    return [button.get("label") for row in rows for button in row["components"]]


def filled_in(shown: Any) -> dict[str, Any]:
    """Return what the fields of a form that was opened are filled with, by their ids; a select's is a list.

    It can be submitted as it is.
    """
    assert shown.modal is not None, "no form was opened"
    rows = [row for row in shown.modal["components"] if row["type"] != discord.ComponentType.text_display.value]
    fields = [row.get("component") or row["components"][0] for row in rows]
    return {field["custom_id"]: _value(field) for field in fields}


def _value(field: dict[str, Any]) -> str | list[str]:
    if "options" in field:
        return [option["value"] for option in field["options"] if option.get("default")]
    return field.get("value") or ""
