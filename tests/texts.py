"""Lists every text that reaches a person: ``python -m tests.texts``.

A text is a string in ``bot/`` or ``zimage_engine/`` with a letter and a space, or a string of any form that is set as a
label or the like. f-strings are shown with "{…}" for what is filled in. Left out is what only programs and developers
read: docstrings (but those of the command line are its help), arguments of the log, assertions, built-in exceptions,
regular expressions, SQL and types.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("bot", "zimage_engine")

_SHOWN_AS = frozenset(("label", "title", "placeholder", "description", "help", "text", "content"))
_NOT_SHOWN = frozenset(
    (
        "compile",
        "fullmatch",
        "search",
        "match",
        "sub",
        "execute",
        "executemany",
        "query",
        "getLogger",
        "cast",
        "get_logger",
    )
)
_BUILT_IN_ERRORS = frozenset(
    ("AssertionError", "KeyError", "NotImplementedError", "RuntimeError", "TypeError", "ValueError", "TypeVar")
)
_SQL = re.compile(
    r"\b(SELECT|INSERT|UPDATE \w+ SET|DELETE FROM|PRAGMA|WHERE|ORDER BY|VACUUM|BEGIN|BETWEEN|CASE|CREATE|NOT NULL)\b"
    r"|sum\(|\bIN \(|\b\w+ (AS|IN|=) "
)
_HOLDERS = (ast.keyword, ast.IfExp, ast.AnnAssign)
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Text:
    """A text with the module and the line where it begins."""

    module: str
    line: int
    text: str


@cache
def every_text() -> tuple[Text, ...]:
    """Return the texts of all modules, in their order."""
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return tuple(text for path in paths for text in texts_of(path.read_text(encoding="utf-8"), _module(path)))


def texts_of(source: str, module: str) -> list[Text]:
    """Return the texts in the source of a module."""
    found = {(node.lineno, node.col_offset): _written(node) for node in _strings_in(ast.parse(source))}
    return [Text(module, line, text) for (line, _), text in sorted(found.items())]


def _strings_in(node: ast.AST, *, shown: bool = False) -> Iterator[ast.expr]:
    """Yield the strings in a node that reach a person; ``shown`` if it is set as a label or the like."""
    if _is_string(node):
        assert isinstance(node, ast.expr)
        if _reads_as_text(_written(node), shown=shown):
            yield node
        for part in ast.walk(node):
            if isinstance(part, ast.FormattedValue):
                yield from _strings_in(part.value)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                yield from _strings_in(key)
            yield from _strings_in(value, shown=shown)
    elif not _unseen(node):
        for child in _children(node):
            yield from _strings_in(child, shown=_sets_a_label(child) or (shown and isinstance(node, _HOLDERS)))


def _sets_a_label(node: ast.AST) -> bool:
    """Return whether a node sets a label, or a table of labels."""
    if isinstance(node, ast.keyword):
        return node.arg in _SHOWN_AS
    return isinstance(node, ast.AnnAssign) and "LABELS" in _name(node.target)


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes below a node, without types and strings that stand alone, unless they are a command's help."""
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.AnnAssign):
        children.remove(node.annotation)
    if any(_name(each) == "command" for each in getattr(node, "decorator_list", [])):
        return children
    return [child for child in children if not _is_docstring(child)]


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and _is_string(node.value)


def _unseen(node: ast.AST) -> bool:
    """Return whether no string in a node reaches a person."""
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.Subscript):
        return _name(node.value) in {"Literal", "get_args", "Annotated", "cast"}
    if not isinstance(node, ast.Call):
        return False
    logs = isinstance(node.func, ast.Attribute) and _name(node.func.value) in {"log", "_log", "logger"}
    return logs or _name(node.func) in _NOT_SHOWN | _BUILT_IN_ERRORS


def _name(node: ast.AST) -> str:
    """Return the last part of a dotted name, "" for what has none."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _written(node: ast.AST) -> str:
    """Return a string as it stands in the code, with "{…}" for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_written(part) for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "{…}"


def _reads_as_text(text: str, *, shown: bool) -> bool:
    bare = text.replace("{…}", "")
    return bool(_LETTER.search(bare)) and (shown or " " in bare.strip("\n")) and not _SQL.search(text)


def _module(path: Path) -> str:
    return str(path.relative_to(ROOT))


def main() -> None:
    module = ""
    for text in every_text():
        if text.module != module:
            module = text.module
            sys.stdout.write(f"\n{module}\n")
        sys.stdout.write(f"{text.line:5}  {text.text!r}\n")


if __name__ == "__main__":
    main()
