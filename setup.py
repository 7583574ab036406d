"""The packages. All else is in pyproject.toml, which cannot say that one package lies in another folder.

``migrations/`` stands at the top of the repository and is ``bot/migrations/`` in the wheel.
"""

from __future__ import annotations

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["bot", "bot.*", "zimage_engine", "zimage_engine.*"]), "bot.migrations"],
    package_dir={"bot.migrations": "migrations"},
)
