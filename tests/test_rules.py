"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from discord.ext import commands

ROOT = Path(__file__).parents[1]
CODE = [path for room in ("bot", "zimage_engine", "training") for path in (ROOT / room).rglob("*.py")]
SQL = re.compile(r"\b(SELECT\b.+\bFROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM|PRAGMA)\b")


def strings(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_sql_stands_in_the_store_alone() -> None:
    elsewhere = [path for path in CODE if "store" not in path.parts and any(map(SQL.search, strings(path)))]
    assert elsewhere == []


def test_the_environment_is_read_in_settings_alone() -> None:
    elsewhere = [path for path in CODE if re.search(r"\bos\.(environ|getenv)\b", path.read_text(encoding="utf-8"))]
    assert [path.relative_to(ROOT).as_posix() for path in elsewhere] == [
        "bot/settings.py",
        "zimage_engine/cluster/link.py",  # sets what Ray reads, which is told some things in no other way
    ]


def names(path: Path) -> set[str]:
    """Every name that the file's code uses or imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found.add(name)
    return found


def test_the_product_does_not_call_the_pipeline() -> None:
    users = {path.name for path in CODE if "ZImagePipeline" in names(path)}
    assert users == {"reference.py", "export.py"}, "verify compares with it, and the recipe saves the parts through it"


def clients_read(path: Path) -> set[str]:
    """What the file reads of an interaction's client; "client" stands for the client as a whole."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)]
    clients = [node for node in nodes if node.attr == "client" and _is_interaction(node.value)]
    reads = [node for node in nodes if node.value in clients]
    return {node.attr for node in reads} | ({"client"} if len(reads) < len(clients) else set())


def _is_interaction(node: ast.expr) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name.endswith("interaction")


def test_one_place_reads_the_bot_from_an_interaction() -> None:
    of_discord = set(dir(commands.Bot))
    readers = [path for path in CODE if clients_read(path) - of_discord]
    assert readers == [ROOT / "bot" / "views" / "parts.py"]


def test_files_stay_short() -> None:
    long = {path.name: count for path in CODE if (count := path.read_text(encoding="utf-8").count("\n")) > 300}
    assert long == {}
