"""Slash commands as clickable mentions, with the ids that Discord gave them when they were synced."""

from __future__ import annotations

from collections.abc import Mapping


class CommandMentions:
    """Holds the ids of the bot's slash commands, by the name of a command or group without subcommands."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def update(self, ids: Mapping[str, int]) -> None:
        """Add ids, replacing those of the same commands."""
        self._ids.update(ids)

    def of(self, name: str) -> str:
        """Return a command such as "admin setup" as ``</admin setup:id>``; as bold text while its id is unknown."""
        command_id = self._ids.get(name.partition(" ")[0])
        return f"</{name}:{command_id}>" if command_id is not None else f"**/{name}**"
