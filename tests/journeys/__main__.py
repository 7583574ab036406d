"""``python -m tests.journeys [NAME …]``: has the conversations, and writes them into docs/journeys."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from bot.playground.world import World, open_world
from bot.settings import Settings
from tests.helpers.worlds import new_client
from tests.journeys.journeys import JOURNEYS
from tests.journeys.test_journeys import PAGES
from zimage_engine.device.worker import Worker
from zimage_engine.executor import UnitWorker


async def write(name: str, cache_dir: Path) -> None:
    """Have one conversation. ``cache_dir`` keeps what is measured of this machine."""
    with tempfile.TemporaryDirectory(prefix="zimage-journey-") as folder:
        settings = Settings.in_code(
            data_dir=Path(folder), cache_dir=cache_dir, profile="demo", device="cpu", progress_interval=0.1
        )

        @asynccontextmanager
        async def world_of(
            wrap: Callable[[Worker], UnitWorker] = lambda worker: worker, **changes: object
        ) -> AsyncIterator[World]:
            client = new_client(settings.model_copy(update=changes), wrap)
            async with open_world(client) as world:
                await client.model_ready()
                yield world

        text = await JOURNEYS[name](world_of)
    (PAGES / f"{name}.md").write_text(text, encoding="utf-8")


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="zimage-journeys-") as folder:
        for name in sys.argv[1:] or JOURNEYS:
            asyncio.run(write(name, Path(folder)))
            print(f"docs/journeys/{name}.md")  # noqa: T201 - the result


if __name__ == "__main__":
    main()
