"""The buttons under a message, as a member sees them."""

from __future__ import annotations

from typing import Any


def button_labels(message: Any) -> list[str | None]:
    """Return the labels of a message's buttons; of a response, which has them as Discord's JSON, too."""
    rows = [row if isinstance(row, dict) else row.to_dict() for row in message.components]
    return [button.get("label") for row in rows for button in row["components"]]
