"""Settings that are more than one value, as they are read from the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bot.settings import Settings


def test_weights_of_servers_are_pairs_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_WEIGHTS", "123456789012345678=2, 0=0.5,")
    assert Settings(_env_file=None).server_weights == {123456789012345678: 2.0, 0: 0.5}
    monkeypatch.setenv("SERVER_WEIGHTS", "")
    assert Settings(_env_file=None).server_weights == {}


@pytest.mark.parametrize(
    "value",
    ["12", "12=0", "12=-1", "12=much", "server=2", "12=inf", "12=nan", "12=1e17", "12=1e-9", "12=1,12=2", "-12=1"],
)
def test_a_weight_that_makes_no_sense_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_WEIGHTS", value)
    with pytest.raises(ValidationError, match="server_weights"):
        Settings(_env_file=None)


@pytest.mark.parametrize("value", ["cpu,cpu", "cuda,cuda:0", "cpu*1000", "cuda:0*40,cuda:1*40", "cpu*0", "all,cpu"])
def test_devices_that_no_machine_has_are_refused_before_torch_is_loaded(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVICE", value)
    with pytest.raises(ValidationError, match="device"):
        Settings(_env_file=None)


@pytest.mark.parametrize("value", ["0", "-1", "65", "two", "1.5"])
def test_a_number_of_workers_that_makes_no_sense_is_refused_with_what_is_possible(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKERS", value)
    with pytest.raises(ValidationError) as raised:
        Settings(_env_file=None)
    assert [error["msg"] for error in raised.value.errors()] == ["Input should be auto or a whole number from 1 to 64"]


def test_a_model_that_is_named_twice_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROFILES", "demo,demo")
    with pytest.raises(ValidationError, match="Input has a model twice: name each once"):
        Settings(_env_file=None)


def test_a_number_of_workers_is_read() -> None:
    assert Settings(_env_file=None, workers="2").workers == 2  # type: ignore[arg-type]  # as from the environment


@pytest.mark.parametrize("value", ["nonsense", "host:0", "host:65536", "host", ":6379"])
def test_an_address_that_no_cluster_has_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", value)
    with pytest.raises(ValidationError, match="ray_address"):
        Settings(_env_file=None)
