"""Example charts of a server's usage for the docs: ``python -m benchmarks.charts``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bot.store.usage import Days, Share, Used
from bot.views.reports import Report, report_chart

IMAGES = Path("docs/images")
_DAYS = Days(20_751, 20_780)
_MEMBERS = {
    "Mira": 146,
    "Jonas": 113,
    "Ada Lovelace": 76,
    "pixel_fox": 71,
    "Léa": 49,
    "Игорь": 32,
    "Tomás": 29,
    "render.exe": 24,
    "Noor": 17,
    "old oak": 15,
}
"""Jobs of the most active members."""
_OTHERS = 34
_CREDITS, _IMAGES, _DEVICE_MS = 125, 1, 6000
"""The cost of each job."""


def days_chart() -> bytes:
    """Return a chart of thirty days of a growing server, with more jobs on weekends."""
    shares = [Share(_DAYS.first + number, _used(jobs)) for number, jobs in enumerate(_jobs_by_day())]
    return report_chart(Report("", _DAYS, "day", shares), {})


def members_chart() -> bytes:
    """Return a chart of the same jobs by member: the ten most active ones, and the others together."""
    jobs = list(_MEMBERS.values())
    left, more = divmod(sum(_jobs_by_day()) - sum(jobs), _OTHERS)
    jobs += [left + 1 if number < more else left for number in range(_OTHERS)]
    shares = [Share(number, _used(count)) for number, count in enumerate(jobs)]
    return report_chart(Report("", _DAYS, "user", shares), dict(enumerate(_MEMBERS)))


def _jobs_by_day() -> list[int]:
    rng = np.random.default_rng(7)
    # Day 0 was a Thursday.
    extra = [14 if (day + 3) % 7 >= 5 else 0 for day in range(_DAYS.first, _DAYS.last + 1)]
    return [int(rng.normal(20 + number * 0.3, 3)) + jobs for number, jobs in enumerate(extra)]


def _used(jobs: int) -> Used:
    return Used(jobs, _IMAGES * jobs, _CREDITS * jobs, _DEVICE_MS * jobs)


def main() -> None:
    (IMAGES / "usage-days.png").write_bytes(days_chart())
    (IMAGES / "usage-members.png").write_bytes(members_chart())


if __name__ == "__main__":
    main()
