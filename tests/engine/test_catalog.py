"""The table of profiles is the only place that names them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bot.settings import Settings
from zimage_engine.catalog import (
    CPU_PROFILE,
    GPU_PROFILE,
    PROFILES,
    demo_profiles,
    downloadable_profiles,
    either,
    find_profile,
    random_weight_profiles,
)
from zimage_engine.types import InvalidRequest

ROOT = Path(__file__).parents[2]


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match=", ".join(PROFILES)):
        find_profile("sdxl")


def test_other_weights_give_the_profile_their_name() -> None:
    profile = find_profile(GPU_PROFILE, weights="somebody/My-Model/")
    assert (profile.name, profile.title, profile.weights) == (GPU_PROFILE, "My-Model", "somebody/My-Model/")


def test_the_settings_take_every_profile() -> None:
    for name in ("auto", *PROFILES):
        assert Settings.in_code(profile=name).profile == name
    with pytest.raises(ValueError, match="'auto', 'demo', 'demo-guided', 'turbo', 'base' or 'edit'"):
        Settings.in_code(profile="sdxl")


def test_the_example_of_settings_names_every_profile() -> None:
    assert f"# {Settings.model_fields['profile'].description}\n" in (ROOT / ".env.example").read_text(encoding="utf-8")


def test_profiles_that_messages_name() -> None:
    assert {CPU_PROFILE, GPU_PROFILE} <= set(PROFILES)
    assert random_weight_profiles() == ["turbo", "base"]
    assert demo_profiles() == ["demo", "demo-guided"]
    assert downloadable_profiles("img2img") == ["turbo", "base"]
    assert downloadable_profiles("instruction") == ["edit"]
    assert either(PROFILES) == "demo, demo-guided, turbo, base or edit"
    assert either(["edit"]) == "edit"


def test_no_other_module_names_a_profile() -> None:
    """Only "turbo" is searched for: the other names are words of their own, such as the command ``/edit``."""
    for folder in ("bot", "zimage_engine"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name in ("catalog.py", "midjourney_flags.py"):  # Midjourney has a flag of that name
                continue
            strings = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
            assert not [text for text in strings if isinstance(text, str) and "turbo" in text.lower()], path
