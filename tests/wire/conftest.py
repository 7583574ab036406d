"""One bot for all fault tests of a module, on a Discord that every test leaves without faults."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bot.settings import Settings
from tests.helpers.drawing import Drawing
from tests.helpers.online import Online, online


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Online]:
    """The bot, connected, with the model loaded."""
    folder = tmp_path_factory.mktemp("wire")
    settings = Settings.in_code(
        data_dir=folder / "data", cache_dir=folder / "cache", profile="demo", device="cpu", progress_interval=0.1,
        credits_per_day="unlimited", direct_credits_per_day="unlimited", concurrent_jobs="unlimited",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        # Repeated deliveries, without the pauses that spare Discord.
        patch.setattr("bot.views.discord_requests._RETRY_SECONDS", 0.05)
        patch.setattr("bot.jobs.completion._PAUSES", (1,) * 20)
        patch.setattr("bot.client.CHECK_SECONDS", 0.2)
        async with online(settings, patch) as opened:
            yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def drawing(running: Online) -> AsyncIterator[Drawing]:
    """The bot between two tests: nothing is under way, nothing fails."""
    opened = Drawing(running)
    yield opened
    await opened.clean_up()
