"""The private parts of SimCord that the playground uses: each is checked before the page is served."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from simcord.preview import Preview

from bot.errors import StartupError
from bot.playground import simcord_parts
from bot.playground.simcord_parts import check_simcord

NOT_OF_SIMCORD = {"_connection", "_activity", "_run"}
"""Private names of discord.py's client, and of asyncio's handles."""


def test_simcord_has_what_is_used() -> None:
    check_simcord()


@pytest.mark.parametrize("owner", ["simcord.preview.Preview", "simcord.preview._pages._Elsewhere"])
def test_what_simcord_lacks_is_named(monkeypatch: pytest.MonkeyPatch, owner: str) -> None:
    monkeypatch.setitem(simcord_parts._NAMES, owner, "_elsewhere")
    with pytest.raises(StartupError, match=rf"it lacks {owner}\._elsewhere"):
        check_simcord()


def test_what_an_instance_has_from_the_start_is_found() -> None:
    assert not hasattr(Preview, "_blobs")
    assert simcord_parts._has(Preview, "_blobs")


def test_every_private_name_that_is_used_is_checked() -> None:
    checked = {name for names in simcord_parts._NAMES.values() for name in names.split()}
    used = {name for path in Path(simcord_parts.__file__).parent.glob("*.py") for name in private_names(path)}
    assert {"_publish", "_blobs", "_requested_port"} <= used
    assert used - checked - NOT_OF_SIMCORD == set()


def private_names(path: Path) -> Iterator[str]:
    """Yield the private attributes that a file uses and does not define itself."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            of_self = isinstance(node.value, ast.Name) and node.value.id == "self"
            if not of_self or node.attr not in own:
                yield node.attr
