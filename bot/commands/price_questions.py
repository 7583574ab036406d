"""Asks a member whether to pay a high price; an edit's original is on disk meanwhile, not in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

from bot.commands.invocation import Invocation
from bot.commands.questions import Questions
from bot.jobs.job import JobRequest
from bot.jobs.service import JobService
from bot.requests.drafts import Draft, keep_draft
from bot.requests.originals import Kept, keeping
from bot.store.database import Database
from bot.views.progress import price_text

Confirmed = Callable[[JobRequest, Draft, Kept | None, Invocation], Awaitable[None]]
"""Runs a request whose member said yes. Sets :attr:`Kept.needed` if a job was inserted."""


async def ask_about_price(
    questions: Questions,
    jobs: JobService,
    database: Database,
    invocation: Invocation,
    request: JobRequest,
    draft: Draft,
    confirmed: Confirmed,
) -> bool:
    """Ask the member to confirm a high price. Returns False if the price is too low to ask.

    What an edit starts from is removed from the disk when the question is over, unless a job was inserted.
    """
    quote = await jobs.admission.quote_to_confirm(request)
    if quote is None:
        return False
    text = price_text(request, quote, jobs.seconds_of(request), names_model=jobs.models.several)
    draft_id = await keep_draft(database, invocation.user.id, draft)
    kept: Kept | None = None
    stored = AsyncExitStack()
    try:
        if request.original is not None:
            kept = await stored.enter_async_context(keeping(jobs.originals, request.original))
            request = request.with_stored(kept.image, kept.mask)
        act = partial(confirmed, request, draft, kept)
        await questions.ask(invocation, text, act, draft, draft_id, over=stored.aclose)
    except BaseException:
        await stored.aclose()
        raise
    return True
