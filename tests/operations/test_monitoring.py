"""What the bot shows of itself to those who watch it: metrics, health, alerts, and systemd's notifications."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml

from bot import metrics
from bot.checks.finding import Finding, Surroundings
from bot.checks.health import check_health, read_health
from bot.errors import StartupError
from bot.monitoring.alert_places import AlertPlaces
from bot.monitoring.server import MonitoringServer
from bot.settings import Settings
from bot.store.data_lock import is_in_use
from tests.helpers.drawing import Drawing
from tests.helpers.loopback import CHANNEL
from tests.helpers.online import Online, online
from tests.helpers.waiting import until
from zimage_engine.types import DeviceLost

ROOT = Path(__file__).parents[2]
ALERTS = "3001"
DEAD_WEBHOOK = "https://discord.com/api/webhooks/123456789012345678/secret-token" + "0" * 60


class Systemd:
    """The socket that systemd gives to a service, and what was sent to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0)
        self.told: list[str] = []

    def read(self) -> list[str]:
        try:
            while True:
                self.told.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return self.told

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Systemd:
    return Systemd(tmp_path_factory.mktemp("systemd") / "notify")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, systemd: Systemd) -> AsyncIterator[Online]:
    """The bot, connected, watched by systemd, with metrics on a free port and alerts in a channel."""
    folder = tmp_path_factory.mktemp("watched")
    settings = Settings.in_code(
        data_dir=folder / "data", cache_dir=folder / "cache", profile="demo", device="cpu", progress_interval=0.1,
        metrics_addr="127.0.0.1:0", alert_channel=int(ALERTS), alert_webhook=DEAD_WEBHOOK,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", str(systemd.path))
        patch.setenv("WATCHDOG_USEC", "200000")
        patch.setattr("bot.monitoring.health._KEPT_SECONDS", 0.0)
        async with online(settings, patch) as opened:
            yield opened
            systemd.read()  # its queue has room for a few messages
        await until(lambda: "STOPPING=1" in systemd.read())
        systemd.close()


def url(running: Online, path: str) -> str:
    monitor = running.client.monitor
    assert monitor is not None
    assert monitor.server is not None
    return f"http://127.0.0.1:{monitor.server.port}{path}"


async def get(running: Online, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url(running, path)) as answer:
        return answer.status, await answer.text()


async def make_read_only(running: Online, value: str) -> None:
    """Have the database refuse every write from now on, or no more."""
    database = running.client.database
    pragma = f"PRAGMA query_only = {value}"
    await database._write_thread.run(lambda: database._write_connection.execute(pragma))


@pytest.mark.asyncio(loop_scope="module")
async def test_metrics_tell_of_a_picture_and_name_nobody(running: Online) -> None:
    drawing = Drawing(running)
    asked = await drawing.ask(channel=CHANNEL)
    await asked.ended()

    status, text = await get(running, "/metrics")
    assert status == 200
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}
    assert values['zimage_jobs_admitted_total{kind="imagine"}'] >= 1
    assert values['zimage_jobs_ended_total{kind="imagine",state="delivered"}'] >= 1
    assert values['zimage_unit_seconds_count{device="cpu",model="demo",unit="denoise"}'] >= 2
    assert values['zimage_device_seconds_total{device="cpu",model="demo",unit="denoise"}'] > 0
    assert values['zimage_discord_requests_total{status="200"}'] > 0
    assert values['zimage_database_seconds_count{access="write"}'] > 0
    assert values['zimage_batch_fill_ratio_count{device="cpu",model="demo"}'] >= 2
    assert values["zimage_eta_ratio_count"] >= 1
    assert values['zimage_engine_state{state="ready"}'] == 1
    assert values['zimage_device_state{device="cpu",state="ready"}'] == 1
    assert values['zimage_device_model{device="cpu",model="demo"}'] == 1
    assert json.loads((await get(running, "/healthz"))[1])["devices"] == {"cpu": "ready (demo)"}
    assert values['zimage_gateway_connected{shard="0"}'] == 1
    assert values['zimage_memory_bytes{process="bot"}'] > 50e6
    assert values["process_open_fds"] > 0
    assert "red circle" not in text
    assert not re.search(r"\b(2000|3000|4000)\b|\d{15,}(?![.\d])", re.sub(r" \S+$", "", text, flags=re.MULTILINE))
    await drawing.clean_up()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_rate_limit_is_counted(running: Online) -> None:
    limited = metrics.DISCORD_REQUESTS.labels("429")
    before = limited._value.get()
    running.discord.fail("POST", r"interactions/\d+/[^/]+/callback", 429, retry_after=0.01, message="", code=0)
    await running.discord.command("ping")
    await until(lambda: limited._value.get() == before + 1)


@pytest.mark.asyncio(loop_scope="module")
async def test_health_says_what_is_wrong_and_systemd_is_told_only_while_nothing_is(
    running: Online, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: "READY=1" in systemd.read() and "WATCHDOG=1" in systemd.read())
    assert await get(running, "/healthz") == (
        200,
        (
            '{"healthy": true, "checks": {"gateway": "ok", "driver": "ok", "database": "ok"}, '
            '"devices": {"cpu": "ready (demo)"}}'
        ),
    )

    await make_read_only(running, "ON")
    status, text = await get(running, "/healthz")
    assert (status, "not writable" in text) == (503, True)
    await until(lambda: any("database: not writable" in told for told in systemd.read()))
    systemd.told.clear()
    await asyncio.sleep(0.25)
    assert "WATCHDOG=1" not in systemd.read()
    await make_read_only(running, "OFF")
    await until(lambda: "WATCHDOG=1" in systemd.read())

    monkeypatch.setattr("bot.monitoring.health.GATEWAY_GRACE_SECONDS", 0.0)
    shard = running.client.shards[0]
    monkeypatch.setattr(type(shard), "is_closed", lambda _: True)
    status, text = await get(running, "/healthz")
    assert (status, "shard 0 not connected" in text) == (503, True)
    monkeypatch.undo()
    assert (await get(running, "/healthz"))[0] == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_doctor_asks_the_bot_that_runs(running: Online, tmp_path: Path) -> None:
    monitor = running.client.monitor
    assert monitor is not None
    assert monitor.server is not None
    settings = running.client.settings.model_copy(update={"metrics_addr": f"127.0.0.1:{monitor.server.port}"})

    def looked(own: Settings) -> list[Finding]:
        return list(check_health(Surroundings(own)))

    (found,) = await asyncio.to_thread(looked, settings)
    assert (found.ok, found.text) == (True, "the bot that runs says that it is well.")
    await make_read_only(running, "ON")
    (found,) = await asyncio.to_thread(looked, settings)
    assert (found.ok, found.text) == (False, "database: not writable (OperationalError)")
    await make_read_only(running, "OFF")
    for other in ({"metrics_addr": ""}, {"data_dir": tmp_path}):
        assert await asyncio.to_thread(looked, settings.model_copy(update=other)) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_places_that_take_no_alert_are_told_before_there_is_one(
    running: Online, caplog: pytest.LogCaptureFixture
) -> None:
    admin = running.client.parts.admin
    await until(admin.faults)
    (gone,) = admin.faults()
    assert gone == "The webhook of ALERT_WEBHOOK does not exist, so no alerts are posted there: make a new one."

    async def look(channel: str) -> list[str]:
        places = AlertPlaces(running.client, int(channel), None)
        await places.check()
        await places.check()
        return places.faults

    running.discord.deny("3002", "send_messages")
    await until(lambda: running.client.get_channel(3002).overwrites)  # type: ignore[union-attr]
    assert await look(ALERTS) == []
    (closed,) = await look("3002")
    assert closed.startswith(
        "I cannot write in ALERT_CHANNEL=3002, so no alerts are posted there: give me the permission"
    )
    assert closed.endswith("Send Messages.")
    (unknown,) = await look("999")
    assert unknown.startswith("ALERT_CHANNEL=999 names a channel that I cannot see, so no alerts are posted there")
    told = [record.msg["advice"] for record in caplog.records if record.msg["event"] == "alert_place_unusable"]
    assert told == [closed, unknown], "once each"
    running.discord.deny("3002")


@pytest.mark.asyncio(loop_scope="module")
async def test_the_operator_is_told_once_an_hour_although_the_webhook_is_dead(
    running: Online, caplog: pytest.LogCaptureFixture
) -> None:
    monitor, failed = running.client.monitor, running.client.services.housekeeping.failed
    assert monitor is not None
    failed.add("sweep_images")
    for _ in range(3):
        await monitor.check()
    failed.clear()
    told = [message.content for message in running.discord.seen(ALERTS)]
    (sentence,) = told
    assert sentence.startswith("**zimage-bot:** The daily clean-up failed in part (sweep_images). It is tried again")
    assert "alert_not_sent" in caplog.text
    assert "secret-token" not in caplog.text
    running.discord.problems.clear()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_operator_is_told_once_an_hour_although_nothing_can_be_written(running: Online) -> None:
    monitor, space = running.client.monitor, running.client.services.disk_space
    assert monitor is not None
    before = len(running.discord.seen(ALERTS))
    await make_read_only(running, "ON")
    space._low = True
    for _ in range(3):
        await monitor.check()
    space._low = False
    await make_read_only(running, "OFF")
    (told,) = [message.content for message in running.discord.seen(ALERTS)[before:]]
    assert told.startswith("**zimage-bot:** The disk with my data is almost full")
    running.discord.problems.clear()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_operator_is_told_of_one_device_that_failed(running: Online, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, monitor, before = running.client.engine, running.client.monitor, len(running.discord.seen(ALERTS))
    assert monitor is not None
    (good,) = engine.stats().devices
    bad = replace(good, name="cuda:1", state="failed", failure="There are no weights here.")
    stats = replace(engine.stats(), devices=(good, bad))
    monkeypatch.setattr(engine, "stats", lambda: stats)
    for _ in range(2):
        await monitor.check()
    (told,) = [message.content for message in running.discord.seen(ALERTS)[before:]]
    assert told.startswith("**zimage-bot:** 1 device of 2 cannot be used, and the others go on without")
    assert "cuda:1: There are no weights here." in told
    assert 'device="cuda:1",state="failed"} 1.0' in (await get(running, "/metrics"))[1]


async def test_a_device_that_is_lost_is_told_before_the_bot_ends(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = MonitoringServer.close

    async def fail(server: MonitoringServer) -> None:
        await close(server)
        raise RuntimeError("the server does not stop")

    changed = settings.model_copy(update={"alert_channel": int(ALERTS), "metrics_addr": "127.0.0.1:0"})
    async with online(changed, monkeypatch) as running:
        monkeypatch.setattr(MonitoringServer, "close", fail)
        running.client.engine._fleet.fail(DeviceLost("The device stopped working; the bot has to be restarted."))
        await running.client.close()
        (told,) = [message.content for message in running.discord.seen(ALERTS)]
        assert told.startswith("**zimage-bot:** The device was lost, and I have to be restarted: The device stopped")
        assert not is_in_use(settings.data_dir), "all else is closed, whatever monitoring does"


async def test_the_health_command_explains_that_nobody_answers() -> None:
    with pytest.raises(StartupError, match="METRICS_ADDR is not set"):
        read_health(Settings.in_code())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings = Settings.in_code(metrics_addr=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(StartupError, match="No bot answers"):
            await asyncio.to_thread(read_health, settings)


def test_dashboard_rules_and_page_name_metrics_that_there_are() -> None:
    samples = {sample.name for family in metrics.REGISTRY.collect() for sample in family.samples}
    families = {family.name for family in metrics.REGISTRY.collect()}
    for labelled in metrics.REGISTRY.collect():  # without a sample until something happens
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(labelled.type, [""])
        samples |= {labelled.name + suffix for suffix in suffixes}
    shown: set[str] = set()
    for path in ("deploy/grafana-dashboard.json", "deploy/alert-rules.yaml", "docs/monitoring.md"):
        named = set(re.findall(r"\b(?:zimage|process)_[a-z0-9_]+", (ROOT / path).read_text(encoding="utf-8")))
        assert named <= samples | families, path
        shown |= named if path.startswith("deploy/grafana") else set()
    ours = {name for name in families if name.startswith("zimage_")}
    unseen = {name for name in ours if not any(each.startswith(name) for each in shown)}
    assert unseen == set(), "on no panel of the dashboard"
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    for family in metrics.REGISTRY.collect():
        if family.name.startswith("zimage_"):
            assert f"| {family.type} | {family.documentation} |" in page, family.name


def test_alert_rules_are_what_prometheus_reads() -> None:
    (group,) = yaml.safe_load((ROOT / "deploy" / "alert-rules.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]:
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["expr"].count("(") == rule["expr"].count(")")
