"""``zimage-bot playground`` as a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.playground_process import open_process


@pytest.mark.system
async def test_ctrl_c_ends_it_while_the_bot_is_starting(tmp_path: Path) -> None:
    """Slow, since a whole process starts; threads that import torch do not hold the end up."""
    async with open_process(tmp_path) as playground:
        await playground.link()
        status, seconds, left = await playground.interrupt()
        assert (status, left, playground.folders) == (0, [], [])
        assert seconds < 2.5, "about a second on a quiet machine"
