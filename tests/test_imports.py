"""Errors in the settings and the token come at once: what is slow to import is imported when the model is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = ["torch", "diffusers", "transformers", "huggingface_hub", "matplotlib"]


@pytest.mark.parametrize(
    "module",
    [
        "zimage_engine",
        "zimage_engine.scheduling.scheduler",
        "zimage_engine.engine",
        "bot.services",
        "bot.client",
        "bot.app",
        "bot.cli.run",
        "bot.cli.draw",
    ],
)
def test_importing_this_imports_no_slow_package(module: str) -> None:
    code = f"import sys, {module}; print(*({{*{SLOW}}} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
