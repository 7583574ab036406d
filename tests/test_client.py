"""Everything around ``/imagine``: help, ping, errors, custom ids, restarts, shutting down."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from bot.errors import Refusal, StartupError
from bot.jobs.active import ActiveJob
from bot.playground.world import World
from bot.services import Services
from bot.settings import Settings
from bot.version import program_version
from bot.views.buttons import progress_view
from bot.views.first_contact import generate_view
from bot.views.member_limits import member_view
from bot.views.results import delete_view, more_view, result_view, upload_view, vary_view, which_view
from bot.views.setup import SetupState, setup_view
from tests.helpers.dynamic_items import dynamic_items, matching
from tests.helpers.faults import Faulty
from tests.helpers.waiting import leave_running, until
from tests.helpers.worlds import OpenWorld, restart
from zimage_engine.types import Unit

IMAGE = "0123456789ab"


async def test_help_is_private_and_fits(world: World) -> None:
    answered = await world.member.slash(world.channel, "help")
    assert answered.ephemeral
    assert "/imagine" in answered.response.content
    assert len(answered.response.content) <= 2000


async def test_ping_says_model_device_and_queue(world: World) -> None:
    answered = await world.member.slash(world.channel, "ping")
    assert "Queue: 0 waiting, 0 being generated" in answered.response.content
    assert f"Version: {program_version()}" in answered.response.content
    assert "Z-Image demo on CPU: ready" in answered.response.content


def test_each_custom_id_matches_exactly_one_template() -> None:
    views = [
        progress_view(1),
        progress_view(10**17),
        result_view(1),
        vary_view(IMAGE),
        delete_view(IMAGE, several=True),
    ]
    views += [more_view(IMAGE, has_parent=True, may_delete=True), upload_view(IMAGE, again=True)]
    views += [which_view(what, 10**17, "x", [(IMAGE, 1), (IMAGE, 2)]) for what in ("edit", "vary", "upscale", "more")]
    set_up = SetupState(
        None,
        credits_set=False,
        allowed=(),
        rules_elsewhere=False,
        log_channel=None,
        spoiler=True,
        private_pictures=True,
    )
    views += [setup_view(set_up), member_view(10**18, blocked=False), generate_view(10**18)]
    items: list[Any] = [item for view in views for item in view.children]
    assert len({item.custom_id for item in items}) == len(items)
    for item in items:
        assert matching(item.custom_id) == [type(item)]
        assert len(item.custom_id) <= 100


async def test_every_button_that_survives_a_restart_is_listened_for(world: World) -> None:
    listened_for = world.env.bot._connection._view_store._dynamic_items.values()
    assert set(listened_for) == set(dynamic_items())


def client_jobs(world: World) -> list[ActiveJob]:
    return list(world.env.bot.jobs.active.values())


async def test_the_cancel_button_by_a_stranger_and_by_the_owner(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    async with world_of(partial(Faulty, unit=Unit.DENOISE, gate=gate, entered=entered)) as world:
        stranger = world.channel.guild.add_member(world.env.create_user("noa"))
        await leave_running(world, world.member.slash(world.channel, "imagine", prompt="a red circle"))
        await until(entered.is_set)
        (card,) = world.channel.history()
        for clicker in (stranger, world.member):
            await leave_running(world, clicker.click(card, label="Cancel"))
        await until(lambda: all(active.cancelled for active in client_jobs(world)))
        gate.set()
        await world.env.settle()
        _, refusal = world.channel.history(viewer=stranger)
        assert "Only the member who asked for this picture, or a moderator" in refusal.content
        (card,) = world.channel.history(viewer=world.member)  # the one message that the member sees
        assert card.content == "Cancelled: ``a red circle``. 0.09 credits for the part already done."
        with pytest.raises(Refusal, match="Already cancelled"):
            await world.env.bot.jobs.cancellation.cancel(1)


async def test_an_unforeseen_error_tells_an_id_that_is_in_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(type(world.env.bot.jobs), "run", broken)
    with caplog.at_level(logging.ERROR):
        answered = await world.member.slash(world.channel, "imagine", prompt="a red circle")
    assert answered.ephemeral
    sentence = answered.response.content
    assert "Something went wrong on my side" in sentence
    assert "ZeroDivision" not in sentence
    assert sentence.endswith("``a red circle``"), "what was typed is given back"
    error_id = sentence.partition("(error ")[2].partition(")")[0]
    assert any(error_id in str(record.msg) for record in caplog.records)
    (swallowed,) = world.env.errors
    assert "nobody foresaw this" in str(swallowed)


async def test_after_a_restart_commands_work_and_are_not_sent_again(world: World) -> None:
    await world.member.slash(world.channel, "ping")
    await restart(world)
    synced = [request for request in world.env.http_requests if request.method == "PUT"]
    assert len(synced) == 1
    await world.member.slash(world.channel, "imagine", prompt="a red circle", seed=1)
    assert world.channel.history()[-1].attachments


async def test_two_bots_on_one_folder_are_refused(world: World, settings: Settings) -> None:
    del world
    with pytest.raises(StartupError, match="Another zimage-bot already uses"):
        await Services(settings).start(None)  # type: ignore[arg-type]


async def test_missing_weights_and_an_unusable_folder_stop_the_start_with_a_sentence(settings: Settings) -> None:
    services = Services(settings.model_copy(update={"model": "/no/weights"}))
    with pytest.raises(StartupError, match="neither a folder nor a model"):
        await services.start(None)  # type: ignore[arg-type]
    settings.data_dir.rename(settings.data_dir.with_name("moved"))
    settings.data_dir.write_text("a file where the folder should be")
    with pytest.raises(StartupError, match="cannot be used"):
        await Services(settings).start(None)  # type: ignore[arg-type]


async def test_neither_token_nor_prompt_is_logged(
    world_of: OpenWorld,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with caplog.at_level(logging.INFO):
        async with world_of(discord_token=SecretStr("very.secret.token")) as world:
            await world.member.slash(world.channel, "imagine", prompt="a red circle of secrets --steps 1")

            async def broken(*_: object) -> None:
                raise ZeroDivisionError("nobody foresaw this")

            monkeypatch.setattr(type(world.env.bot.jobs), "run", broken)
            await world.member.slash(world.channel, "imagine", prompt="another circle of secrets")
            assert world.env.errors
            assert "very.secret.token" not in repr(world.env.bot.settings)
    logged = caplog.text + "".join(capfd.readouterr())
    assert "ZeroDivisionError" in logged
    assert "very.secret.token" not in logged
    assert "circle of secrets" not in logged
