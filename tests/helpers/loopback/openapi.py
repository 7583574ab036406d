"""Checks the bot's request bodies against Discord's own OpenAPI document."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.helpers.loopback.calls import Call

DOCUMENT = Path(__file__).parents[2] / "wire" / "data" / "discord-openapi.json"
_URI = "urn:discord"
_SNOWFLAKES = re.compile(r"id|.+_id|users|roles|.+_ids|applied_tags")
_MEDIA = 16
"""The type of media channels. Discord's documentation lists it and takes it; its OpenAPI document lacks it."""
_IN_COMPONENTS = re.compile(r"default_values|.+_id|.+_ids")


def problem_of(call: Call) -> str | None:
    """Return what Discord's document does not allow in a request. None if all is well.

    A path or method that the document does not know is a problem too.
    """
    template = _template_of(call)
    if template is None:
        return f"{call.method} {call.path} is not in Discord's document"
    missing = [index for index in _files_named(call.body) if f"files[{index}]" not in call.parts]
    if missing and call.parts:
        return f"{call.method} {template}: attachments {missing} have no file"
    validator = _validator(template, call.method.lower())
    if validator is None:
        return None if call.body is None else f"{call.method} {template} takes no body"
    error = best_match(validator.iter_errors(with_text_ids(call.body)))
    return (
        None
        if error is None
        else f"{call.method} {template}: {error.json_path}: {error.validator}: {error.message[:300]}"
    )


def with_text_ids(body: Any, *, in_components: bool = False) -> Any:
    """Return a body with snowflakes as text: discord.py sends them as integers, which Discord takes and does not list.

    The ``id`` of a component is a small integer and stays one. Media channels are left out of ``channel_types``.
    """
    if isinstance(body, list):
        return [with_text_ids(item, in_components=in_components) for item in body]
    if not isinstance(body, dict):
        return body
    pattern = _IN_COMPONENTS if in_components else _SNOWFLAKES
    changed = {}
    for name, value in body.items():
        if name == "channel_types":
            changed[name] = [kind for kind in value if kind != _MEDIA]
            continue
        inside = name in ("components", "component", "accessory") or (in_components and name != "default_values")
        if pattern.fullmatch(name) and name != "default_values":
            changed[name] = _texts(value, inside=inside)
        else:
            changed[name] = with_text_ids(value, in_components=inside)
    return changed


def _texts(value: Any, *, inside: bool) -> Any:
    if isinstance(value, list):
        return [_texts(item, inside=inside) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return with_text_ids(value, in_components=inside)


def _files_named(body: Any) -> list[int]:
    """Return the indexes of the files that the body's attachments stand for; other ids are of existing ones."""
    data = body.get("data") or body if isinstance(body, dict) else {}
    listed = data.get("attachments") or [] if isinstance(data, dict) else []
    return [item["id"] for item in listed if isinstance(item.get("id"), int) and item["id"] < 10]


@cache
def _document() -> dict[str, Any]:
    return json.loads(DOCUMENT.read_text(encoding="utf-8"))


@cache
def _registry() -> Registry[Any]:
    return Registry().with_resource(_URI, DRAFT202012.create_resource(_document()))


@cache
def _templates() -> list[tuple[re.Pattern[str], str]]:
    """Return the document's paths as patterns, those with more fixed parts first."""
    paths = sorted(_document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))), path) for path in paths]


def _template_of(call: Call) -> str | None:
    for pattern, template in _templates():
        if pattern.fullmatch(f"/{call.path}") and call.method.lower() in _document()["paths"][template]:
            return template
    return None


@cache
def _validator(template: str, method: str) -> Draft202012Validator | None:
    """Return the check of an operation's JSON body. None if the operation has no body."""
    body = _document()["paths"][template][method].get("requestBody")
    if body is None:
        return None
    keys = ["paths", template, method, "requestBody", "content", "application/json", "schema"]
    pointer = "/".join(key.replace("~", "~0").replace("/", "~1") for key in keys)
    return Draft202012Validator({"$ref": f"{_URI}#/{quote(pointer)}"}, registry=_registry())
