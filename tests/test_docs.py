"""The docs against the code: what a page says must be so."""

from __future__ import annotations

import re
from pathlib import Path

import discord
from discord import app_commands

from bot.playground.world import World
from bot.settings import Settings
from zimage_engine.profiles import PROFILES

ROOT = Path(__file__).parents[1]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_env_example_has_every_setting_and_no_other() -> None:
    named = re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", page(".env.example"), re.MULTILINE)
    assert sorted(named) == sorted(field.upper() for field in Settings.model_fields)


def test_env_example_shows_the_defaults() -> None:
    for name, value in re.findall(r"^# ([A-Z][A-Z_]+)=(.+)$", page(".env.example"), re.MULTILINE):
        default = Settings.model_fields[name.lower()].default
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        assert value == (shown.lower() if isinstance(default, bool) else shown), name


def test_the_readme_names_make_targets_that_exist_and_files_that_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", page("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", page("README.md"))) <= targets
    for name in ["README.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page(name)):
            assert ((ROOT / name).parent / link).exists(), f"{name} links {link}"


async def test_the_command_page_has_every_command_and_option(world: World) -> None:
    text = page("docs/commands.md")
    for command in world.env.bot.tree.get_commands():
        slash = "" if isinstance(command, app_commands.ContextMenu) else "/"
        assert f"## {slash}{command.name}" in text
        for parameter in getattr(command, "parameters", []):
            assert f"`{parameter.name}`" in text, parameter.name


def test_the_operations_page_has_every_profile() -> None:
    for profile in PROFILES.values():
        assert f"`{profile.name}`" in page("docs/operations.md")


def test_the_architecture_page_has_every_room() -> None:
    text = page("docs/architecture.md")
    for folder in (*ROOT.glob("bot/*/"), ROOT / "zimage_engine"):
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
    assert f"permissions={wanted.value}" in page("README.md")
