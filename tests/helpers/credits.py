"""For tests of limits: answers to commands as text, and what is in use."""

from __future__ import annotations

from bot.playground.world import World
from tests.helpers.admins import told
from tests.helpers.pictures import rows


async def answer_text(world: World, who: object, command: str, **options: object) -> str:
    """Run a slash command, whose answer only ``who`` may see. Returns the answer's text."""
    return (await told(world, who, command, **options)).content


async def quota_answer(world: World, who: object = None) -> str:
    """Return the answer to ``/quota``, of the world's member unless ``who`` is given."""
    return await answer_text(world, who or world.member, "quota")


async def credits_in_use(world: World) -> int:
    """Return the credits that are reserved or spent, in hundredths."""
    (row,) = await rows(
        world,
        "SELECT coalesce(sum(CASE entry WHEN 'reserved' THEN credits WHEN 'given_back' THEN -credits ELSE 0 END), 0)"
        " AS total FROM ledger",
    )
    return int(row["total"])


async def count_jobs(world: World) -> int:
    """Return the number of jobs in the database, in any state."""
    return len(await rows(world, "SELECT id FROM jobs"))
