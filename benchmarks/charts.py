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
"""Jobs of those who drew the most."""
_OTHERS = 34
_CREDITS, _IMAGES, _DEVICE_MS = 125, 1, 6000
"""What a job of the examples comes to."""


def days_chart() -> bytes:
    """Thirty days of a server that grows, with more on weekends."""
    shares = [Share(_DAYS.first + number, _used(jobs)) for number, jobs in enumerate(_jobs_by_day())]
    return report_chart(Report("", _DAYS, "day", shares), {})


def members_chart() -> bytes:
    """The same by member: the ten that drew the most, and the others together."""
    jobs = list(_MEMBERS.values())
    left, more = divmod(sum(_jobs_by_day()) - sum(jobs), _OTHERS)
    jobs += [left + (number < more) for number in range(_OTHERS)]
    shares = [Share(number, _used(count)) for number, count in enumerate(jobs)]
    return report_chart(Report("", _DAYS, "user", shares), dict(enumerate(_MEMBERS)))


def _jobs_by_day() -> list[int]:
    rng = np.random.default_rng(7)
    # Day 0 was a Thursday.
    weekends = [(day + 3) % 7 >= 5 for day in range(_DAYS.first, _DAYS.last + 1)]
    return [int(rng.normal(20 + number * 0.3, 3)) + 14 * weekend for number, weekend in enumerate(weekends)]


def _used(jobs: int) -> Used:
    return Used(jobs, _IMAGES * jobs, _CREDITS * jobs, _DEVICE_MS * jobs)


def main() -> None:
    (IMAGES / "usage-days.png").write_bytes(days_chart())
    (IMAGES / "usage-members.png").write_bytes(members_chart())


if __name__ == "__main__":
    main()
