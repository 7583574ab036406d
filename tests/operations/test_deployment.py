"""The container, its script and the systemd unit: against the program, and by what can check them without an engine."""

from __future__ import annotations

import re
import runpy
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.cli.main import app
from bot.settings import Settings
from tests.helpers.documents import ROOT, page
from tests.helpers.waiting import until

OTHERS = {"PATH", "HOME", "HF_HOME", "PYTHONDONTWRITEBYTECODE"}
"""Variables of the container and the unit that are no settings; those of NVIDIA's toolkit begin with NVIDIA_."""
UNIT = page("deploy/zimage-bot.service")


def unit_values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def services() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(page("compose.yaml"))["services"]


def test_settings_and_commands_of_the_container_and_the_unit_are_there() -> None:
    environment = re.search(r"^ENV (.*(?:\\\n.*)*)", page("Dockerfile"), re.MULTILINE)
    assert environment is not None
    named = set(re.findall(r"(\w+)=", environment[1] + unit_values("Environment")[0]))
    named |= {name for each in services().values() for name in each["environment"]}
    foreign = {name for name in named if name.startswith("NVIDIA_")} | OTHERS
    assert named - foreign <= {name.upper() for name in Settings.model_fields}
    commands = {each.name or each.callback.__name__ for each in app.registered_commands if each.callback}
    used = set(re.findall(r'CMD \["(?:zimage-bot", ")?(\w+)"\]', page("Dockerfile")))
    used |= {each["command"][0] for each in services().values()} | {unit_values("ExecStart")[0].split()[-1]}
    assert used == {"health", "run"}
    assert used <= commands


def test_the_image_gets_all_it_is_built_from_and_not_the_settings() -> None:
    copied = [line.split()[1:-1] for line in page("Dockerfile").splitlines() if line.startswith("COPY")]
    sources = {name for names in copied for name in names if not name.startswith(("--", "/"))}
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE", "bot", "zimage_engine", "migrations"} <= sources
    ignored = page(".dockerignore").splitlines()
    assert ignored[1] == "*"
    allowed = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    for name in sources:
        assert (ROOT / name).exists()
        assert any(Path(name).match(pattern) for pattern in allowed), f".dockerignore leaves {name} out"
    assert not any(Path(".env").match(pattern) for pattern in allowed)
    locks = set(re.findall(r"LOCK[=:] ?(\S+)", page("Dockerfile") + page("compose.yaml")))
    assert locks == {"requirements.lock", "requirements-cpu.lock"}


def test_the_replay_of_the_image_knows_each_instruction(tmp_path: Path) -> None:
    """Without a RUN, which needs root and a Debian: what is copied, and the environment that the bot gets."""
    script = runpy.run_path(str(ROOT / "scripts" / "replay_image.py"))
    image = script["Image"]({})
    for word, rest in script["instructions"](page("Dockerfile")):
        if word != "RUN":
            script["step"](tmp_path, [], image, word, rest)
    assert (tmp_path / "src" / "migrations" / "0001_jobs.sql").exists()
    assert (tmp_path / "usr" / "local" / "bin" / "zimage-bot-supervised").exists()
    assert (image.user, image.folder, image.environment["DATA_DIR"]) == ("10001:10001", "/data", "/data")
    assert image.environment["PATH"].startswith("/opt/zimage-bot/bin:/usr/")
    with pytest.raises(SystemExit, match="does not know the instruction ADD"):
        script["step"](tmp_path, [], image, "ADD", "x y")


def test_both_services_are_closed_in_and_differ_by_the_card_alone() -> None:
    cpu, gpu = services()["bot"], services()["bot-gpu"]
    own = {"profiles", "image", "build", "deploy"}
    assert {name: cpu[name] for name in cpu.keys() - own} == {name: gpu[name] for name in gpu.keys() - own}
    assert (cpu["profiles"], gpu["profiles"]) == (["cpu"], ["gpu"]), "never both: they share the data"
    assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert (cpu["read_only"], cpu["cap_drop"]) == (True, ["ALL"])
    folders = {volume.partition(":")[2] for volume in cpu["volumes"]}
    assert folders == set(re.findall(r'"(/\w+)"', page("Dockerfile").split("VOLUME")[1].split("\n")[0]))
    assert cpu["entrypoint"][0] in page("Dockerfile")


def test_a_container_that_waits_is_unhealthy_when_the_page_says_so() -> None:
    check = re.search(r"--interval=(\d+)s .*--start-period=(\d+)m --retries=(\d+)", page("Dockerfile"))
    assert check is not None
    interval, period, retries = map(int, check.groups())
    assert 180 <= 60 * period + interval * retries <= 240
    assert re.search(r"unhealthy within four\s+minutes", page("docs/operations.md"))


@contextmanager
def a_container(folder: Path, program: str) -> Iterator[subprocess.Popen[str]]:
    """Start the container's script with a program that is this shell script; it is stopped at the end."""
    path = folder / "zimage-bot"
    path.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
    path.chmod(0o755)
    command = [ROOT / "deploy" / "container-run.sh", "run"]
    environment = {"PATH": f"{folder}:/usr/bin:/bin"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_where_a_restart_cannot_help_the_container_waits(tmp_path: Path) -> None:
    with a_container(tmp_path, "exit 78") as container:
        assert container.stderr is not None
        assert container.stderr.readline().startswith("Status 78: a restart would not help.")
        assert container.poll() is None
        container.send_signal(signal.SIGTERM)
        assert container.wait(5) == 78
    with a_container(tmp_path, "exit 70") as container:
        assert container.wait(5) == 70


async def test_a_stop_of_the_container_reaches_the_bot_and_waits_for_it(tmp_path: Path) -> None:
    ready, stopped = tmp_path / "ready", tmp_path / "stopped"
    program = f"trap 'sleep 0.2; touch {stopped}; exit 0' TERM; touch {ready}; while :; do sleep 0.05; done"
    with a_container(tmp_path, program) as container:
        await until(ready.exists)
        container.send_signal(signal.SIGTERM)
        assert container.wait(5) == 0
    assert stopped.exists()


def test_the_unit_and_the_container_give_up_at_the_same_statuses() -> None:
    waits = re.findall(r'"run (\d+)"', page("deploy/container-run.sh"))
    assert unit_values("RestartPreventExitStatus") == [" ".join(waits)]
    assert unit_values("Restart") == ["on-failure"]


def test_the_unit_lets_the_process_that_opens_pictures_give_up_its_files() -> None:
    (allowed,) = unit_values("SystemCallFilter")
    assert {"@system-service", "landlock_create_ruleset", "landlock_restrict_self"} == set(allowed.split())


SYSTEMD = shutil.which("systemd-analyze") or ""


@pytest.mark.skipif(not SYSTEMD, reason="needs systemd's own checker")
def test_systemd_accepts_the_unit_and_finds_it_closed_in(tmp_path: Path) -> None:
    """With a program, a user and a group that are there."""
    unit = tmp_path / "zimage-bot.service"
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT, flags=re.MULTILINE)
    unit.write_text(re.sub(r"^(User|Group)=.*", r"\1=root", text, flags=re.MULTILINE), encoding="utf-8")
    done = subprocess.run([SYSTEMD, "verify", unit], capture_output=True, text=True, check=False)
    newer = ("Unknown key 'RestartSteps'", "Unknown key 'RestartMaxDelaySec'")  # than systemd 253
    said = [line for line in done.stderr.splitlines() if unit.name in line and not any(key in line for key in newer)]
    assert (done.returncode, said) == (0, [])
    unit.write_text(UNIT, encoding="utf-8")
    command = [SYSTEMD, "security", "--offline=true", "--threshold=25", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]
