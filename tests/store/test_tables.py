"""The tables of limits, ceilings, server settings and states against what has to be written out elsewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

from discord import app_commands

from bot.commands.admin.settings import add_to
from bot.requests.models import Models
from bot.services import configured_terms
from bot.settings import Settings
from bot.store.database import MIGRATIONS
from bot.store.guild_settings import GUILD_LINKS, GUILD_SETTINGS
from bot.store.job_states import ENDED, IS_OPEN, IS_WAITING, NEXT, OPEN, EndState, State
from bot.store.limits import CEILINGS, LIMITS, LimitName
from zimage_engine.catalog import find_profile
from zimage_engine.weights import complete_profile


def migrations() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(MIGRATIONS.glob("[0-9]*.sql")))


def test_the_options_of_admin_settings_are_those_of_the_table() -> None:
    admin = app_commands.Group(name="admin", description="…")
    add_to(admin, SimpleNamespace(admin=None))  # type: ignore[arg-type]  # nothing is invoked
    command: Any = admin.get_command("settings")
    names = [*(setting.name for setting in GUILD_SETTINGS), *(link.name for link in GUILD_LINKS)]
    assert [parameter.name for parameter in command.parameters] == [*names, "clear"]
    assert [choice.value for choice in command.get_parameter("clear").choices] == [link.name for link in GUILD_LINKS]
    assert all(command.get_parameter(setting.name).autocomplete for setting in GUILD_SETTINGS)


def test_every_limit_and_ceiling_has_its_setting() -> None:
    values = {"credits_per_day": 7.5, "concurrent_jobs": 2, "queued_jobs": "unlimited", "max_pixels": 9, "max_count": 3}
    ceilings = {"credits_per_user": 8.25, "credits_per_server": "unlimited", "queue_length": 5}
    settings = Settings.in_code(
        **values, direct_credits_per_day=1.5, **{f"ceiling_{name}": value for name, value in ceilings.items()}
    )
    terms = configured_terms(settings, Models((complete_profile(find_profile("demo")),)))
    in_units = {"credits_per_day": 750, "concurrent_jobs": 2, "queued_jobs": None, "max_pixels": 9, "max_count": 3}
    assert terms.defaults == in_units
    assert terms.direct == {**in_units, "credits_per_day": 150}
    assert {name: getattr(terms, name) for name in CEILINGS} == {
        "credits_per_user": 825,
        "credits_per_server": None,
        "queue_length": 5,
    }


def test_the_database_takes_every_limit_and_state() -> None:
    sql = " ".join(migrations().split())
    assert get_args(LimitName) == tuple(LIMITS)
    assert f"name IN ({', '.join(repr(name) for name in LIMITS)})" in sql
    assert f"state IN ({', '.join(repr(state) for state in NEXT)})" in sql


def test_states_are_open_or_ended_and_worded_as_in_the_indexes() -> None:
    assert tuple(NEXT) == get_args(State) == OPEN + ENDED
    assert set(get_args(EndState)) == set(ENDED) - {"delivered"}
    assert f"ON jobs (state) WHERE {IS_OPEN};" in migrations()
    assert f"ON jobs (owner_id, scope_id) WHERE {IS_WAITING};" in migrations()
