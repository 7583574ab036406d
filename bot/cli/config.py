"""``zimage-bot config``: the settings in force, and where each comes from."""

from __future__ import annotations

import typer
from pydantic import SecretStr
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from bot.settings import ENV_FILE, Settings, unknown_names


def config_lines(settings: Settings) -> list[str]:
    """Return a line for each setting: its name, value and origin. Of secrets it says only whether they are set."""
    in_environment = EnvSettingsSource(Settings, env_ignore_empty=True)()
    in_file = DotEnvSettingsSource(Settings, env_file=ENV_FILE, env_ignore_empty=True)()
    lines: list[str] = []
    for name in Settings.model_fields:
        origin = "environment" if name in in_environment else str(ENV_FILE) if name in in_file else "default"
        lines.append(f"{name.upper()}={_shown(getattr(settings, name))}  # {origin}")
    return lines


def show_config(settings: Settings) -> None:
    """Print the settings, and what ``.env`` has that is no setting."""
    for line in config_lines(settings):
        typer.echo(line)
    for name in unknown_names(ENV_FILE):
        typer.echo(f"# {name} in {ENV_FILE} is not a setting of the bot.")


def _shown(value: object) -> str:
    """Return a value as it would stand in ``.env``."""
    match value:
        case SecretStr():
            return "(set, not shown)"
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(map(str, value))
        case frozenset():
            return ",".join(map(str, sorted(value)))
        case dict():
            return ",".join(f"{key}={weight:g}" for key, weight in value.items())
        case float():
            return f"{value:g}"
        case _:
            return str(value)
