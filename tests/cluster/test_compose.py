"""compose.cluster.yaml against the program. Its commands are run by ``tests.cluster.proof``.

``docs/cluster.md`` says what of it ran with a container engine.
"""

from __future__ import annotations

import re
from typing import Any

import typer
import yaml

from bot.cli.main import app
from bot.settings import Settings
from tests.helpers.documents import page
from zimage_engine.cluster.ray_node import NODE_PORTS

COMPOSE: dict[str, Any] = yaml.safe_load(page("compose.cluster.yaml"))


def test_the_cluster_in_containers_uses_what_the_program_has() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {name.upper() for name in Settings.model_fields} | {"RAY_AUTH_TOKEN", "HF_HOME"}
    for name, service in COMPOSE["services"].items():
        command, *arguments = service["command"]
        options = {option for each in commands[command].params for option in each.opts}
        assert {each for each in arguments if each.startswith("--")} <= options, name
        assert set(service["environment"]) <= known, name
        assert "ports" not in service, "Ray's ports are for the cluster alone"
        assert service["environment"]["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?"), "none starts without a token"
        assert "DISCORD_TOKEN" not in service["environment"]
    assert [name for name, service in COMPOSE["services"].items() if "env_file" in service] == ["bot"]
    assert COMPOSE["services"]["worker"]["deploy"]["replicas"] == 2


def test_the_image_of_the_cluster_has_the_tested_ray() -> None:
    (wanted,) = {service["build"]["args"]["RAY"] for service in COMPOSE["services"].values()}
    assert f"ray=={wanted}\n" in page("constraints.txt")
    assert re.search(r"^ARG RAY=$", page("Dockerfile"), re.MULTILINE), "without it no Ray is installed"


def test_the_page_names_the_ports_that_nodes_use() -> None:
    text = page("docs/cluster.md")
    assert f"| {', '.join(list(NODE_PORTS.values())[:3])} |" in text
    assert f"| {NODE_PORTS['--min-worker-port']}–{NODE_PORTS['--max-worker-port']} |" in text
