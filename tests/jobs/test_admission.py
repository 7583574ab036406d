"""Admission while many ask at once."""

from __future__ import annotations

import asyncio

from bot.errors import Refusal
from bot.jobs.job import JobRequest
from bot.requests.spec import ImageOptions, build_spec
from bot.store.guild_settings import INSTANCE
from bot.store.limits import Requester
from tests.helpers.cards import show_card
from tests.helpers.credits import credits_in_use
from tests.helpers.pictures import PROMPT
from tests.helpers.worlds import OpenWorld


async def test_two_hundred_commands_at_once_draw_what_there_are_credits_for(world_of: OpenWorld) -> None:
    async with world_of(credits_per_day=10.0, queued_jobs="unlimited", concurrent_jobs="unlimited") as world:
        service = world.env.bot.jobs
        service.pause(INSTANCE)  # jobs are admitted and wait; nothing reaches the engine
        spec, count = build_spec(ImageOptions(PROMPT), world.env.bot.engine.profile, max_count=1)
        requester = Requester(world.member.id, 1, None)

        async def ask(event_id: int) -> bool:
            request = JobRequest(event_id, spec, count, requester, world.channel.id, "public", None)
            try:
                return await service.run(request, show_card) is not None
            except Refusal as refusal:
                assert "in the last 24 hours" in str(refusal)
                return False

        results = await asyncio.gather(*(ask(number) for number in range(1, 201)))
        assert results.count(True) == 10
        assert await credits_in_use(world) == 1000
