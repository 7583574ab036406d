"""What keeps a Ray cluster from being used is told in a sentence, and Ray's processes end as they should. No Ray."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
import pytest

from bot.checks.finding import Surroundings
from bot.checks.machine import check_cluster
from bot.settings import Settings
from tests.helpers.waiting import until
from zimage_engine.cluster import cluster_watch, ray_node, reaching
from zimage_engine.cluster.cluster_watch import ClusterWatch
from zimage_engine.cluster.config import ClusterConfig
from zimage_engine.cluster.joining import stay_joined
from zimage_engine.cluster.ray_node import NODE_PORTS, NodeOptions, RayNode, check_ports
from zimage_engine.cluster.reaching import check_answer, clusters_here, find_cluster, has_node
from zimage_engine.types import NotAvailable, WorkerLost


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def start(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> RayNode:
    """Start what runs the code instead of Ray."""
    monkeypatch.setattr(ray_node, "_command", lambda *_: [sys.executable, "-c", code])
    return RayNode(NodeOptions(), folder)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (
            "127.0.0.1:1",
            "Nothing answers at 127.0.0.1:1: start the cluster's head there with `zimage-bot worker --head`",
        ),
        ("127.0.0.9:1", "with `zimage-bot worker --head --listen 127.0.0.9`, or correct the address."),
        ("no host:6379", "The host no host of the Ray cluster cannot be found: correct the address."),
    ],
)
def test_a_cluster_that_is_not_there_is_told_at_once(address: str, sentence: str) -> None:
    with pytest.raises(WorkerLost, match=re.escape(sentence)):
        check_answer(address)


@pytest.mark.parametrize(
    ("status", "environment", "kind", "sentence"),
    [
        (3, {"RAY_AUTH_TOKEN_PATH": "/etc/t"}, NotAvailable, "has another token than /etc/t: copy the head's"),
        (3, {"RAY_AUTH_TOKEN": "a" * 64}, NotAvailable, "has another token than RAY_AUTH_TOKEN: set it to the head's."),
        (3, {"RAY_AUTH_MODE": "disabled"}, NotAvailable, "wants a token: remove RAY_AUTH_MODE"),
        (1, {}, WorkerLost, "is not a Ray cluster, or one with other TLS settings"),
    ],
)
def test_a_cluster_that_refuses_is_told_with_what_to_do(
    status: int,
    environment: dict[str, str],
    kind: type[Exception],
    sentence: str,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(reaching, "_ASK", f"import sys; print('a line of Ray'); sys.exit({status})")
    with pytest.raises(kind, match=sentence):
        check_answer(f"127.0.0.1:{listener.getsockname()[1]}")


def test_ray_looks_for_a_cluster_of_this_machine_at_the_loopback_address() -> None:
    """Ray takes the machine's own address for it if it thinks of a cluster of several machines."""
    code = (
        "from zimage_engine.cluster.link import RayLink, set_ray_environment\n"
        "set_ray_environment(RayLink('localhost:6379'))\n"
        "from ray._private.services import canonicalize_bootstrap_address\n"
        "from ray._private.auto_init_hook import enable_auto_connect\n"
        "print(canonicalize_bootstrap_address('localhost:6379'), enable_auto_connect)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "127.0.0.1:6379 False\n"


def test_why_a_cluster_is_away_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = threading.Semaphore(0)
    watch = ClusterWatch(ClusterConfig("auto"), print, lambda _: told.release(), print, print)
    reasons = iter(("no answer", "no answer", "no answer", "another token"))
    monkeypatch.setattr(cluster_watch, "_PAUSES", (0.0,))
    monkeypatch.setattr(watch, "_watch", lambda: WorkerLost(next(reasons, "another token")))
    watch.start()
    for _ in range(5):
        assert told.acquire(timeout=5)
    watch.stop(5)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "Ray cluster lost: no answer",
        "Ray cluster lost: another token",
    ]


def test_what_never_answers_is_given_up(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(reaching, "_ASK", "import time; time.sleep(60)")
    with pytest.raises(WorkerLost, match="is not a Ray cluster"):
        check_answer(f"127.0.0.1:{listener.getsockname()[1]}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
async def test_what_asks_a_cluster_ends_with_who_wants_to_know(listener: socket.socket) -> None:
    """Ray asks what does not answer for forty seconds."""
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    code = (
        "from zimage_engine.cluster import reaching\n"
        "reaching._ASK = 'import time; time.sleep(60)'\n"
        f"reaching.check_answer('{address}')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        await until(lambda: bool(psutil.Process(process.pid).children()))
        (asking,) = psutil.Process(process.pid).children()
        process.kill()
    await until(lambda: not asking.is_running() or asking.status() == psutil.STATUS_ZOMBIE, 3)


def test_what_breaks_the_following_of_a_cluster_is_logged_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    no_host = ClusterConfig("a..b:6379", folder=tmp_path / "ray")
    error = ClusterWatch(no_host, print, print, print, print)._watch()
    assert str(error) == "The cluster cannot be followed (UnicodeError)."
    assert "label empty or too long" in caplog.text


def test_auto_is_the_cluster_that_has_a_node_here(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import time; print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, "--gcs-address=127.0.0.1:7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert "127.0.0.1:7" in clusters_here()
        assert has_node("localhost:7")
        process.kill()
    assert not has_node("localhost:7")
    assert find_cluster("10.0.0.1:6379") == "10.0.0.1:6379"
    for found, sentence in (
        (set(), "No node of a Ray cluster runs on this machine"),
        ({"a:1", "b:2"}, "one of a:1, b:2"),
    ):
        monkeypatch.setattr(reaching, "clusters_here", lambda found=found: found)
        with pytest.raises(WorkerLost, match=sentence):
            find_cluster("auto")
    monkeypatch.setattr(reaching, "clusters_here", lambda: {"a:1"})
    assert find_cluster("auto") == "a:1"


def test_doctor_asks_the_cluster_and_the_start_does_not(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cluster = settings.model_copy(update={"ray_address": "127.0.0.1:1"})
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(NotAvailable, match="There is no token"):
        list(check_cluster(Surroundings(on_cluster, offline=True)))
    (tmp_path / "token").write_text("a" * 64)
    with pytest.raises(WorkerLost, match="Nothing answers"):
        list(check_cluster(Surroundings(on_cluster)))
    for quiet in Surroundings(on_cluster, offline=True), Surroundings(on_cluster, hurried=True):
        (found,) = check_cluster(quiet)
        assert found.ok
        assert found.text.endswith("RAY_ADDRESS=127.0.0.1:1, which was not asked")


def test_a_port_that_is_taken_and_an_address_of_another_machine_are_told(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listener.getsockname()[1]
    free = dict.fromkeys(NODE_PORTS, "0")
    monkeypatch.setattr(ray_node, "NODE_PORTS", free)
    check_ports(NodeOptions(ip="127.0.0.1", fixed_ports=True))
    with pytest.raises(WorkerLost, match=f"Port {port} is in use .* or choose another with --port"):
        check_ports(NodeOptions(ip="127.0.0.1", port=port, fixed_ports=True))
    with pytest.raises(WorkerLost, match=r"This machine has no address 192\.0\.2\.1: give --listen"):
        check_ports(NodeOptions(ip="192.0.2.1", fixed_ports=True))
    monkeypatch.setattr(ray_node, "NODE_PORTS", free | {"--node-manager-port": str(port)})
    with pytest.raises(WorkerLost, match=f"Port {port} is in use"):
        check_ports(NodeOptions("10.0.0.1:6379", fixed_ports=True))


def test_why_ray_did_not_start_is_one_sentence_without_its_log_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "[2026-01-01 10:00:00,000 W 1 1] rpc_client.h:638: Failed to connect"
    node = start(
        tmp_path, monkeypatch, f"print('Trace'); print('\\x1b[31mValueError: no room\\x1b[0m'); print('{line}')"
    )
    with pytest.raises(WorkerLost) as failed:
        node.wait()
    assert str(failed.value) == (
        "Ray could not be started (ValueError: no room): LOG_LEVEL=DEBUG shows all that it said."
    )


def test_a_signal_while_ray_starts_ends_it_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    monkeypatch.setattr(ray_node, "_command", lambda *_: [sys.executable, "-c", "raise SystemExit('a dump')"])
    (tmp_path / "ray").mkdir()
    before, said = [False], list[str]()
    stopping = SimpleNamespace(is_set=lambda: not before or before.pop())  # set as soon as it has begun
    with kept_environment():
        stay_joined(NodeOptions(), tmp_path / "ray", cast("threading.Event", stopping), 1.0, said.append)
    assert said == []


def test_a_worker_says_why_it_has_to_join_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    monkeypatch.setattr(reaching, "_ASK", "")
    (tmp_path / "ray").mkdir()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    ready = tmp_path / "ray" / "ray_current_cluster"
    code = f"import pathlib, time; pathlib.Path({str(ready)!r}).write_text({address!r}); time.sleep(0.3)"
    monkeypatch.setattr(ray_node, "_command", lambda *_: [sys.executable, "-c", code])
    stopping, said = threading.Event(), list[str]()

    def say(sentence: str) -> None:
        said.append(sentence)
        listener.close()  # the head is gone
        if len(said) == 3:
            stopping.set()

    with kept_environment():
        stay_joined(NodeOptions(address), tmp_path / "ray", stopping, 1.0, say)
    assert said[:2] == [
        f"This machine is a node of the Ray cluster at {address}.",
        "The node has ended. Joining again.",
    ]
    assert said[2].startswith(f"Nothing answers at {address}: ")
    assert said[2].endswith(" Joining again.")


@contextmanager
def kept_environment() -> Iterator[None]:
    """Undo what Ray is told by the environment."""
    environment = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)


async def test_ctrl_c_in_a_terminal_does_not_reach_ray_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray starts processes at any time, also while it is ended."""
    child = "import subprocess, time; time.sleep(0.02); subprocess.Popen(['sleep', '60']); time.sleep(60)"
    code = f"""
import subprocess, sys, time
while True:
    subprocess.Popen([sys.executable, '-S', '-c', {child!r}])
    time.sleep(0.05)
"""
    node = start(tmp_path, monkeypatch, code)
    assert os.getsid(node.pid) == node.pid
    await until(lambda: len(psutil.Process(node.pid).children()) > 4, 10)
    node.stop()
    await until(lambda: not _session(node.pid), 5)


def _session(leader: int) -> list[psutil.Process]:
    """Return the processes of the session that run."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
