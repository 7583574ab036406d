"""pyproject.toml against the code: what is imported is declared, what is declared is imported, and each has bounds."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers.documents import ROOT, page

PROJECT = tomllib.loads(page("pyproject.toml"))["project"]
OWN = {"bot", "zimage_engine"}
USED_BY_OTHERS = {"accelerate"}
"""diffusers and transformers load weights with it without first making random ones of the same size."""


def declared(*extras: str) -> list[Requirement]:
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


def imported() -> set[str]:
    """The distributions that the program imports, those imported inside a function among them."""
    modules = set()
    for path in (path for name in OWN for path in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module)
    distributions = packages_distributions()
    others = {module.partition(".")[0] for module in modules} - OWN - sys.stdlib_module_names
    return {canonicalize_name(name) for module in others for name in distributions[module]}


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    names = {canonicalize_name(each.name) for each in declared("cluster")}
    assert imported() - names == set(), "declare it in pyproject.toml"
    assert names - imported() == USED_BY_OTHERS, "nothing imports it"


def test_each_dependency_has_bounds_that_hold_the_tested_version() -> None:
    tested = dict(line.split("==") for line in page("constraints.txt").split())
    versions = {canonicalize_name(name): version for name, version in tested.items()}
    for requirement in declared("cluster", "playground", "dev"):
        operators = {each.operator for each in requirement.specifier}
        assert operators == {"=="} or {">=", "<"} <= operators, f"{requirement} has no lower or no upper bound"
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_production_installs_no_test_tools() -> None:
    """simcord, which simulates Discord for `zimage-bot demo`, without what it has for pytest."""
    names = {canonicalize_name(each.name) for each in declared()}
    assert names & {"pytest", "hypothesis", "ruff", "mypy", "playwright"} == set()
    assert [each.extras for each in declared() if each.name == "simcord"] == [set()]
    locked = {line.partition("==")[0] for line in page("requirements.lock").splitlines() if "==" in line}
    assert locked & {"pytest", "hypothesis", "ruff", "mypy", "playwright"} == set()
