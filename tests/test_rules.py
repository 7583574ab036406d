"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

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
    assert elsewhere == []


def test_the_product_does_not_call_the_pipeline() -> None:
    docstring = re.compile(r'""".*?"""', re.DOTALL)
    users = [path.name for path in CODE if "ZImagePipeline" in docstring.sub("", path.read_text(encoding="utf-8"))]
    assert users == ["export.py"], "the recipe saves the parts through it"


def test_files_stay_short() -> None:
    long = {path.name: count for path in CODE if (count := path.read_text(encoding="utf-8").count("\n")) > 300}
    assert long == {}
