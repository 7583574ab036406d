"""One bot for all fault tests of a module, on a Discord that every test leaves without faults."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from pydantic import SecretStr

from bot.logs import configure_logging
from bot.settings import Settings
from tests.helpers.drawing import Drawing
from tests.helpers.log_lines import kept_lines
from tests.helpers.loopback import TOKEN
from tests.helpers.loopback.members import TOKENS, WORDS
from tests.helpers.online import Online, online


@pytest.fixture(autouse=True)
def logs(settings: Settings) -> Iterator[None]:
    """Log at DEBUG, and see to it that no line has a token, and none at INFO or above a member's words."""
    TOKENS.clear()
    WORDS.clear()
    configure_logging(settings.model_copy(update={"log_level": "DEBUG", "discord_token": SecretStr(TOKEN)}))
    with kept_lines() as lines:
        yield
    words = [word for word in WORDS if len(word) > len("a cat")]
    leaks = [line for line in lines if any(token in line.text + line.handed_over for token in (TOKEN, *TOKENS))]
    leaks += [line for line in lines if line.level >= logging.INFO and any(word in line.text for word in words)]
    assert leaks == []


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
