"""The docs against the code: what a page says must be so."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import discord
import pytest
from discord import app_commands

from bot.commands.owner import OwnerCommands
from bot.playground.world import World
from bot.settings import Settings
from bot.store.limits import LIMIT_NAMES
from tests.helpers.documents import ROOT, page
from tests.helpers.worlds import OpenWorld
from tests.price_table import across_models, price_table
from zimage_engine.catalog import PROFILES


def test_env_example_has_every_setting_and_no_other() -> None:
    named = re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", page(".env.example"), re.MULTILINE)
    assert sorted(named) == sorted(field.upper() for field in Settings.model_fields)


def test_env_example_shows_the_defaults() -> None:
    for name, value in re.findall(r"^# ([A-Z][A-Z_]+)=(.+)$", page(".env.example"), re.MULTILINE):
        default = Settings.model_fields[name.lower()].default
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        assert value == (shown.lower() if isinstance(default, bool) else shown), name


def test_every_test_that_the_page_on_security_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", page("docs/security.md")))
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    there = {name for text in tests for name in re.findall(r"^(?:async )?def (test_\w+)\(", text, re.MULTILINE)}
    assert len(named) > 40
    assert named - there == set()


def test_the_readme_names_make_targets_that_exist_and_files_that_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", page("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", page("README.md"))) <= targets
    for name in ["README.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page(name)):
            assert ((ROOT / name).parent / link).exists(), f"{name} links {link}"


Command = app_commands.Command[Any, Any, Any]


def every_command(world: World) -> list[Command]:
    """Each command that can be typed, the operator's among them, without the groups that hold them."""
    tree = world.env.bot.tree
    owner = OwnerCommands(world.env.bot.parts.admin, world.env.bot.engine)
    groups = [owner, *(each for each in tree.get_commands() if isinstance(each, app_commands.Group))]
    nested = [each for group in groups for each in group.walk_commands() if isinstance(each, app_commands.Command)]
    return [*nested, *(each for each in tree.get_commands() if isinstance(each, app_commands.Command))]


def sections(text: str) -> dict[str, str]:
    """The page's sections by their command, such as "/imagine"."""
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return {part.splitlines()[0]: part for part in parts}


@pytest.fixture
async def several(world_of: OpenWorld) -> AsyncIterator[World]:
    """A bot with several models, which has commands and options that one with a single model lacks."""
    async with world_of(load=False, profile="auto", profiles=("demo", "demo-guided")) as opened:
        yield opened


async def test_the_command_page_has_every_command_and_option(several: World) -> None:
    found = sections(page("docs/commands.md"))
    for command in every_command(several):
        section = found[f"/{command.qualified_name.split()[0]}"]
        assert f"/{command.qualified_name}" in section, command.qualified_name
        for parameter in command.parameters:
            assert f"`{parameter.display_name}`" in section, (command.qualified_name, parameter.display_name)
    for kind in (discord.AppCommandType.message, discord.AppCommandType.user):
        for menu in several.env.bot.tree.get_commands(type=kind):
            assert menu.name in found


async def test_the_pages_name_no_command_that_is_not_there(several: World) -> None:
    known = {command.qualified_name for command in every_command(several)}
    known |= {" ".join(name.split()[:depth]) for name in known for depth in (1, 2)}
    known |= {"metrics", "healthz"}  # pages of METRICS_ADDR
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for name in re.findall(r"`/([a-z]+(?: [a-z]+)*)", path.read_text(encoding="utf-8")):
            words = name.split()
            top = [each for each in known if each.split()[0] == words[0]]
            assert top, f"{path.name} names /{name}"
            if any(len(each.split()) > 1 for each in top) and len(words) > 1:
                assert " ".join(words[:2]) in known, f"{path.name} names /{name}"


async def test_the_command_page_has_every_choice_of_the_admins(several: World) -> None:
    text = page("docs/commands.md")
    for command in every_command(several):
        for parameter in command.parameters:
            for choice in parameter.choices if command.qualified_name.startswith(("admin", "owner")) else ():
                assert f"`{choice.value}`" in text, (command.qualified_name, choice.value)


def test_the_operations_page_has_every_profile() -> None:
    for profile in PROFILES.values():
        assert f"`{profile.name}`" in page("docs/operations.md")


def test_the_architecture_page_has_every_room() -> None:
    text = page("docs/architecture.md")
    for folder in (*ROOT.glob("bot/*/"), ROOT / "zimage_engine", ROOT / "training"):
        if folder.name != "__pycache__":
            assert f"`{folder.relative_to(ROOT)}/`" in text, folder


def test_the_invite_link_asks_for_what_delivery_needs() -> None:
    wanted = discord.Permissions(
        view_channel=True,
        send_messages=True,
        send_messages_in_threads=True,
        attach_files=True,
        read_message_history=True,
    )
    assert f"permissions={wanted.value}" in page("docs/discord-setup.md")


def test_the_limits_page_has_the_defaults_and_the_prices() -> None:
    text = page("docs/limits.md")
    settings = Settings.in_code()
    assert f"| {settings.credits_per_day:g}, in direct messages {settings.direct_credits_per_day:g} |" in text
    for name in ("concurrent_jobs", "queued_jobs", "max_count"):
        (row,) = re.findall(rf"^\| `{name}` \|.*\| (\d+) \|$", text, re.MULTILINE)
        assert int(row) == getattr(settings, name)
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(LIMIT_NAMES)
    assert price_table() in text, "python -m tests.price_table prints it"
    assert across_models() in text


NAMES_CODE = ("docs/architecture.md", "docs/changing.md", "docs/glossary.md", "SECURITY.md", "CONTRIBUTING.md")


@cache
def defined_names() -> set[str]:
    """Everything that the code and its tests define or import."""
    names: set[str] = set()
    for folder in ("bot", "zimage_engine", "training", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    names.add(node.name)
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    names.add(node.id)
                elif isinstance(node, ast.Import | ast.ImportFrom):
                    names.update(alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("name", NAMES_CODE)
def test_paths_that_a_page_names_are_there(name: str) -> None:
    text = page(name)
    roots = (ROOT, ROOT / "zimage_engine", ROOT / "bot")
    for path in re.findall(r"`([\w./-]+/[\w.-]*)`", text) + re.findall(r"`([a-z_]+\.(?:py|sql|md))`", text):
        found = any((root / path).exists() for root in roots) or any((ROOT / "migrations").glob(path))
        assert found, f"{name} names {path}"


@pytest.mark.parametrize("name", NAMES_CODE)
def test_classes_that_a_page_names_are_there(name: str) -> None:
    known = defined_names()
    for word in re.findall(r"`([A-Z]\w*[a-z]\w*)`", page(name)):
        assert word in known, f"{name} names {word}"


def test_the_architecture_page_draws_the_layers_in_their_order() -> None:
    contracts = tomllib.loads(page("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each["type"] == "layers"]
    rooms = [room for layer in layers for room in re.findall(r"bot\.(\w+)", layer) if (ROOT / "bot" / room).is_dir()]
    drawing = page("docs/architecture.md").split("```")[1]
    upright = [room for room in rooms if room not in ("cli", "playground")]
    assert sorted(upright, key=lambda room: drawing.index(f"{room}/")) == upright
    assert all(f"{room}/" in drawing for room in rooms)
