"""Messages and modals as Markdown, with what differs from run to run replaced by ``…``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import discord

_VARYING = (
    # A held-up device lets the expected time pass, sooner or later.
    (re.compile(r"(\d+%(?: `[█░]+`)?(?:, picture \d of \d)?)(?:, ready <t:\d+:R>)?"), r"\1, ready (in a while)"),
    (re.compile(r"<t:\d+:R>"), "(in a while)"),
    (re.compile(r"<t:\d+(:[tTdDfF])?>"), "(a date)"),
    (re.compile(r"</([\w -]+):\d+>"), r"/\1"),
    (re.compile(r"https://discord\.com/channels/[\w@]+/\d+/\d+"), "(link)"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "…"),
    (re.compile(r"\b\d+(\.\d+)? (s|ms|min)\b"), r"… \2"),
    (re.compile(r"█[█░▓▒─]*|░[█░▓▒─]+"), "▓▓▓░░░"),
    (re.compile(r"\b(\d{4}-\d\d-\d\d)( \d\d:\d\d(:\d\d)?)?( UTC)?\b"), "(a date)"),
)
_SEED = re.compile(r"\bseed (\d{4,10})\b|\bseeds \d{4,10}(, \d{4,10})*")


def varying_replaced(text: str, names: dict[str, str]) -> str:
    """Return the text with mentions as names, and times, links and random seeds as ``…``."""
    for mention, name in names.items():
        text = text.replace(mention, name)
    for pattern, shown in _VARYING:
        text = pattern.sub(shown, text)
    return _SEED.sub("seed …", text)


def message_lines(message: discord.Message, components: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what a person sees of a message: text, embeds, files with their alt texts, buttons and selects."""
    yield from message.content.splitlines()
    for embed in message.embeds:
        yield from filter(None, [f"**{embed.title}**" if embed.title else "", embed.description or ""])
        for field in embed.fields:
            yield f"{field.name}: {field.value}"
        if embed.footer.text:
            yield f"-# {embed.footer.text}"
    for attachment in message.attachments:
        spoiler = " (spoiler)" if attachment.is_spoiler() else ""
        size = f" {attachment.width}×{attachment.height}" if attachment.width else ""
        yield f"🖼 {attachment.filename}{size}{spoiler}: “{attachment.description or ''}”"
    yield from component_lines(components)


def component_lines(components: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each row of buttons, each select and each text among raw components."""
    for component in components:
        children = [child for child in [*component.get("components", []), component.get("component")] if child]
        buttons = [child for child in children if child.get("type") == 2]
        if buttons:
            yield " ".join(_button(button) for button in buttons)
        rest = [child for child in children if child.get("type") != 2]
        match component.get("type"):
            case 3 | 5 | 6 | 7 | 8:
                yield from _select(component)
            case 4:
                yield _text_input(component)
            case 10:
                yield from str(component.get("content", "")).splitlines()
            case 18:
                description = f" ({component['description']})" if component.get("description") else ""
                yield f"*{component.get('label', '')}*{description}"
        yield from component_lines(rest)


def _button(button: dict[str, Any]) -> str:
    emoji = (button.get("emoji") or {}).get("name") or ""
    label = " ".join(filter(None, (emoji, button.get("label"))))
    return f"[~~{label}~~]" if button.get("disabled") else f"[{label}]"


def _text_input(field: dict[str, Any]) -> str:
    return f"▭ {field.get('label') or ''} [{field.get('value') or field.get('placeholder') or ''}]"


def _select(select: dict[str, Any]) -> Iterator[str]:
    yield f"▾ {select.get('placeholder') or 'choose'}"
    for option in select.get("options", []):
        chosen = "●" if option.get("default") else "○"
        description = f": {option['description']}" if option.get("description") else ""
        yield f"  {chosen} {option['label']}{description}"
