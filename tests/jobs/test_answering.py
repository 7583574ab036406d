"""Deliveries give way to requests that are being answered, and not for ever."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from bot.jobs import answering
from bot.jobs.answering import Answering


async def test_what_gives_way_waits_until_few_requests_are_being_answered() -> None:
    requests = Answering()
    with ExitStack() as crowd, ExitStack() as one:
        for _ in range(answering._MANY - 1):
            crowd.enter_context(requests.one())
        await asyncio.wait_for(requests.give_way(), answering._PATIENCE_SECONDS / 2)
        one.enter_context(requests.one())
        waiting = asyncio.create_task(requests.give_way())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        one.close()
        await asyncio.wait_for(waiting, answering._PATIENCE_SECONDS / 2)


async def test_what_gives_way_has_its_turn_however_many_go_on_asking() -> None:
    requests, loop = Answering(), asyncio.get_running_loop()
    with ExitStack() as crowd:
        for _ in range(2 * answering._MANY):
            crowd.enter_context(requests.one())
        began = loop.time()
        await requests.give_way()
        assert answering._PATIENCE_SECONDS - 0.1 < loop.time() - began < answering._PATIENCE_SECONDS + 1


async def test_closing_waits_for_every_request_up_to_its_end() -> None:
    requests, loop = Answering(), asyncio.get_running_loop()
    await requests.ended(loop.time())
    with requests.one():
        closing = asyncio.create_task(requests.ended(loop.time() + 10))
        await asyncio.sleep(0.02)
        assert not closing.done()
        await requests.ended(loop.time() + 0.02)
    await asyncio.wait_for(closing, 5)
