"""An open playground over the process's shared weights, and its page as a browser's scripts see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from bot.playground.session import Playground, open_playground
from bot.settings import Settings
from tests.helpers.pages import Page
from tests.helpers.worlds import new_faulty_client


@pytest.fixture
async def playground(settings: Settings) -> AsyncIterator[Playground]:
    """A playground whose model is loaded."""
    async with open_playground(partial(new_faulty_client, settings)) as opened:
        await opened.ready()
        yield opened


@pytest.fixture
async def page(playground: Playground) -> AsyncIterator[Page]:
    """The page of mira, a member, in #pictures."""
    async with Page(playground) as opened:
        await opened.open("mira")
        yield opened
