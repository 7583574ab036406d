"""The models of ``zimage-bot demo`` and of the playground: those that ship with the project."""

from __future__ import annotations

from bot.settings import Settings
from zimage_engine.catalog import CPU_PROFILE, demo_profiles
from zimage_engine.places import models_in


def demo_models(settings: Settings) -> tuple[tuple[str, ...], str]:
    """Return the names of the demo models that the settings ask for, the default one first, and what is ignored.

    Settings that name other models are meant for the bot on Discord. What is ignored is a sentence, "" for nothing.
    """
    names, said = settings.profiles, f"PROFILES={','.join(settings.profiles)}"
    if not names:
        names, said = (settings.profile,), f"PROFILE={settings.profile}"
    ignored = [said] if names != ("auto",) and not set(names) <= set(demo_profiles()) else []
    if ignored or names == ("auto",):
        names = (CPU_PROFILE,)
    if settings.model:
        ignored.append(f"MODEL={settings.model}")
    if not models_in(settings.device) <= set(names):
        ignored.append(f"the choice of models in DEVICE={settings.device}")
    if not ignored:
        return names, ""
    verb = "is" if len(ignored) == 1 else "are"
    return names, f"Only models that ship with the bot are used here: {' and '.join(ignored)} {verb} ignored."
