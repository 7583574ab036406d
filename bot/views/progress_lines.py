"""How far a job is, in a line of text, and when a line with a time is worth an edit."""

from __future__ import annotations

import time

from bot.jobs.job import Job, JobProgress
from bot.plurals import counted

_BAR = 12
_MOVED_SECONDS = 5.0
_MOVED_SHARE = 0.2
_RESTARTED = "I restarted; your request is back in the queue."
_KEPT = "I'm restarting. Your request is saved and starts when I'm back."
_DRAINING = "My operator is about to restart me. Your request is saved, and goes on by itself afterwards."


def card_line(job: Job, progress: JobProgress) -> str:
    """Return the line of a card; two lines after a restart."""
    running = progress.state == "running"
    line = f"{_share(progress):.0%} {_bar(progress)}{_rest(job, progress)}" if running else state_line(job, progress)
    return f"{_RESTARTED}\n{line}" if progress.restarted and progress.state not in ("running", "kept") else line


def state_line(job: Job, progress: JobProgress) -> str:
    """Return a sentence or a few words on how far a job is."""
    match progress.state:
        case "held":
            return _held(job, progress.position or 1)
        case "paused":
            who = "my operator" if progress.by_operator else "an admin of this server"
            return f"Paused by {who}. Your request stays in the queue, and goes on by itself."
        case "draining":
            return _DRAINING
        case "kept":
            return _KEPT
        case "waiting":
            return "In the queue. After a crash, one request is tried by itself first."
        case "loading" | "recovering":
            return _loading(progress)
        case "queued":
            return _queued(progress)
        case "running":
            return f"{_share(progress):.0%}{_rest(job, progress)}"
        case "cancelling":
            return "Cancelling: it stops after the step that is running."
        case "delivering":
            return "Finished: the picture is on its way."


def time_to_show(shown: float | None, forecast: float | None, now: float) -> float | None:
    """Return the expected time to show, all in UTC seconds; None if there is none, or if it has passed.

    That is the time ``shown`` so far, which counts down by itself, as long as the forecast is less than 5 seconds or
    20 % of the rest away from it.
    """
    if forecast is None or forecast <= now:
        return None
    if shown is None or shown <= now:
        return forecast
    moved = max(_MOVED_SECONDS, _MOVED_SHARE * (forecast - now))
    return shown if abs(forecast - shown) <= moved else forecast


def _held(job: Job, before: int) -> str:
    come = "comes" if before == 1 else "come"
    limit = f"you may have {job.concurrent_jobs} running at a time"
    return f"In the queue: {before} of your own requests {come} first; {limit}."


def _queued(progress: JobProgress) -> str:
    if progress.position == 0:
        return f"You are next{_ready(progress)}."
    before = f": {_before(progress.position)}" if progress.position is not None else ""
    return f"In the queue{before}{_ready(progress)}."


def _before(position: int) -> str:
    return f"{counted(position, 'picture')} before yours"


def _loading(progress: JobProgress) -> str:
    stage = f" ({progress.stage})" if progress.stage not in ("", "loading", "restarting") else ""
    began = f" <t:{int(progress.since)}:R>" if progress.since is not None else ""
    if progress.state == "recovering":
        return f"The device stopped{began}, and I'm restarting it{stage}. Your picture goes on by itself."
    waits = f"; {_before(progress.position)}" if progress.position else ""
    return f"The model started loading{began}{stage}. Your picture comes after that{waits}."


def _rest(job: Job, progress: JobProgress) -> str:
    """Return what follows the percentage: which of several pictures it is, and when they are ready."""
    count = job.request.count
    images = f", picture {min(progress.images_done + 1, count)} of {count}" if count > 1 else ""
    return f"{images}{_ready(progress)}"


def _bar(progress: JobProgress) -> str:
    filled = round(_share(progress) * _BAR)
    return f"`{'█' * filled}{'░' * (_BAR - filled)}`"


def _share(progress: JobProgress) -> float:
    return progress.steps_done / max(1, progress.steps_total)


def _ready(progress: JobProgress) -> str:
    """Return when the picture is expected, as a time that counts down in Discord; nothing if that has passed."""
    at = progress.ready_at
    return f", ready <t:{int(at)}:R>" if at is not None and at > time.time() else ""
