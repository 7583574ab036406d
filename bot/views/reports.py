"""Reports of usage: a text with a table, a chart, and a CSV for spreadsheets. Days are of UTC."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from io import StringIO
from typing import Literal

from bot.inert import utf16_length
from bot.media.charts import Bar, Heading, Panel, day_text, draw_bars, draw_days
from bot.plurals import counted
from bot.requests.pricing import credits_text, format_credits
from bot.store.accounts import DAY
from bot.store.usage import By, Days, Share, Used
from bot.views.text import ALT_TEXT_LIMIT

Period = Literal["today", "7 days", "30 days", "90 days"]
PERIODS: dict[Period, int] = {"today": 1, "7 days": 7, "30 days": 30, "90 days": 90}

FORMER = "former members"
_NAMES: dict[By, str] = {"day": "day", "user": "member", "channel": "channel", "kind": "kind"}
_ROWS = 10
_FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_LATER_FORMULA = re.compile(r"""([;,|][\s"']*)(?=[=+\-@＝＋－＠])""")
_HARD_SPACE = "\N{NO-BREAK SPACE}"

_grouped = partial(format_credits, grouped=True)

Names = Mapping[int, str]
"""The names of members or channels by id. Ids whose name is unknown are missing."""


@dataclass(frozen=True, slots=True)
class Report:
    """The usage in ``days``, grouped ``by`` something. ``shares`` are in the order of :func:`bot.store.usage.shares`.

    ``title`` says whose usage it is and where, and may have mentions. ``gone`` are the ids of channels that were
    deleted, as far as that is known.
    """

    title: str
    days: Days
    by: By
    shares: Sequence[Share]
    gone: frozenset[int] = frozenset()

    @property
    def total(self) -> Used:
        return _sum(self.shares)

    @property
    def shown(self) -> Sequence[Share]:
        """The shares with a row of their own: the newest days, or those with the most credits."""
        return self.shares[: -_ROWS - 1 : -1] if self.by == "day" else self.shares[:_ROWS]

    @property
    def others(self) -> Sequence[Share]:
        """The other shares, which are summed up in one row."""
        return self.shares[:-_ROWS] if self.by == "day" else self.shares[_ROWS:]


def report_text(report: Report) -> str:
    """Return the sum and the table, within a message's limit. Blocks if there are many thousands of shares."""
    total = report.total
    sums = f"**{_credits(total)}** · {_work_text(total)}"
    rows = [(_row_name(report, share.key), share.used) for share in report.shown]
    if report.others:
        rows.append((_others(report), _sum(report.others)))
    return "\n".join([f"**{report.title}** · {days_text(report.days)} (UTC)", sums, *_table(rows)])


def report_chart(report: Report, names: Names) -> bytes:
    """Return a chart of credits as PNG: a bar for each day, or each share with a row. At least one share. Blocks."""
    total = report.total
    note = f"{_credits(total)} · {counted(total.jobs, 'request')} · {days_text(report.days)}"
    heading = Heading(f"Credits by {_NAMES[report.by]}", note)
    if report.by == "day":
        return draw_days(heading, _date(report.days.first), [_credit_panel(report)])
    bars = [_bar(report.by, share, names) for share in report.shown]
    if report.others:
        rest = _sum(report.others).credits
        bars.append(Bar(_others(report), rest / 100, _grouped(rest), rest=True))
    return draw_bars(heading, bars)


def member_chart(report: Report) -> bytes:
    """Return a chart of a member's credits, requests and device seconds by day as PNG. At least one day. Blocks."""
    panels = [
        _credit_panel(report),
        _panel(report, "requests", lambda used: used.jobs, lambda jobs: f"{jobs:,}", whole=True),
        _panel(report, "seconds on the device", lambda used: used.device_ms, _seconds, 1000),
    ]
    return draw_days(Heading("Your usage by day", days_text(report.days)), _date(report.days.first), panels)


def report_csv(report: Report, names: Names) -> bytes:
    """Return every share as CSV in UTF-8 with a byte order mark, which spreadsheets need to see that it is UTF-8.

    Ids are written as mentions, since a spreadsheet would round such long numbers. Cells that a spreadsheet would take
    for formulas begin with an apostrophe.
    """
    text = StringIO(newline="")
    writer = csv.writer(text)
    named = report.by in ("user", "channel")
    writer.writerow([_NAMES[report.by], *(["name"] if named else []), "credits", "jobs", "images", "device_seconds"])
    for share in report.shares:
        key, used = share.key, share.used
        first = _date(int(key or 0)).isoformat() if report.by == "day" else _mention(report.by, key)
        name = [_plain(names.get(key, "") if isinstance(key, int) else "")] if named else []
        sums = (format_credits(used.credits, fixed=True), used.jobs, used.images, f"{used.device_ms / 1000:.3f}")
        writer.writerow([_plain(first), *name, *sums])
    return text.getvalue().encode("utf-8-sig")


def report_alt_text(report: Report, names: Names) -> str:
    """Return the alt text of :func:`report_chart`: the credits of each bar, as many as fit."""
    figures = [f"{_bar_name(report.by, share.key, names)}: {_grouped(share.used.credits)}" for share in report.shown]
    if report.others:
        figures.append(f"{_others(report)}: {_grouped(_sum(report.others).credits)}")
    sums = f"{_credits(report.total)} in {counted(report.total.jobs, 'request')}"
    opening = f"Bar chart of credits by {_NAMES[report.by]}, {days_text(report.days)}: {sums}."
    return _with_figures(opening, figures)


def member_alt_text(report: Report) -> str:
    """Return the alt text of :func:`member_chart`: the figures of each day with usage, the newest first."""
    figures = [
        f"{_bar_name('day', share.key, {})}: {_credits(share.used)}, {counted(share.used.jobs, 'request')}, "
        f"{_seconds(share.used.device_ms)} s"
        for share in reversed(report.shares)
    ]
    opening = f"Bar charts of your credits, requests and seconds on the device by day, {days_text(report.days)}."
    return _with_figures(opening, figures)


def _with_figures(opening: str, figures: Sequence[str]) -> str:
    """Return an alt text with as many figures as Discord's limit allows, and the number of those left out."""
    for count in range(len(figures), 0, -1):
        left = len(figures) - count
        more = f"; and {left:,} more" if left else ""
        text = f"{opening} {'; '.join(figures[:count])}{more}."
        if utf16_length(text) <= ALT_TEXT_LIMIT:
            return text
    return opening


def used_text(used: Used) -> str:
    """Return credits, requests, pictures and device time on one line."""
    return f"{_credits(used)} · {_work_text(used)}"


def days_text(days: Days) -> str:
    """Return the first and last day, as "25 Oct – 23 Nov 2026"."""
    first, last = _date(days.first), _date(days.last)
    if first == last:
        return f"{day_text(last)} {last.year}"
    return f"{day_text(first)}{f' {first.year}' if first.year != last.year else ''} – {day_text(last)} {last.year}"


def device_text(milliseconds: int) -> str:
    """Return a time as "4.2 s", "12 min 3 s" or "1 h 12 min", rounded down."""
    seconds = milliseconds // 1000
    if seconds < 60:
        return f"{milliseconds // 100 / 10:g} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600:,} h {seconds // 60 % 60} min"


def _credits(used: Used) -> str:
    return credits_text(used.credits, grouped=True)


def _work_text(used: Used) -> str:
    requests, pictures = counted(used.jobs, "request"), counted(used.images, "picture")
    return f"{requests} · {pictures} · {device_text(used.device_ms)} on the device"


def _table(rows: Sequence[tuple[str, Used]]) -> list[str]:
    """Return lines of figures in columns, then a name. Code blocks show no mentions, so the figures are inline code."""
    cells = [("credits", "requests", "pictures", "device")]
    for _, used in rows:
        exact = format_credits(used.credits, grouped=True, fixed=True)
        cells.append((exact, f"{used.jobs:,}", f"{used.images:,}", device_text(used.device_ms)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    figures = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    codes = [f"`{figure.replace(' ', _HARD_SPACE)}`" for figure in figures]
    return [codes[0], *(f"{code} {name}" for code, (name, _) in zip(codes[1:], rows, strict=True))]


def _row_name(report: Report, key: int | str | None) -> str:
    """Return what a row is about: a mention, or words for a channel that was deleted."""
    return f"deleted channel {key}" if key in report.gone else _mention(report.by, key)


def _mention(by: By, key: int | str | None) -> str:
    if key is None:
        return FORMER
    match by:
        case "day":
            return day_text(_date(int(key)))
        case "user":
            return f"<@{key}>"
        case "channel":
            return f"<#{key}>"
    return str(key)


def _others(report: Report) -> str:
    count = len(report.others)
    return f"earlier ({counted(count, 'day')})" if report.by == "day" else counted(count, "other")


def _bar(by: By, share: Share, names: Names) -> Bar:
    plain = _bar_name(by, share.key, {})
    return Bar(_bar_name(by, share.key, names), share.used.credits / 100, _grouped(share.used.credits), plain)


def _bar_name(by: By, key: int | str | None, names: Names) -> str:
    """Return what stands beside a share's bar; the last four digits of an id whose name is unknown."""
    if key is None or by in ("day", "kind"):
        return _mention(by, key)
    return names.get(int(key)) or f"{_NAMES[by]} …{int(key) % 10_000:04}"


def _seconds(milliseconds: int) -> str:
    """Return seconds with one decimal, rounded down as in :func:`device_text`."""
    return f"{milliseconds // 100 / 10:,g}"


def _credit_panel(report: Report) -> Panel:
    return _panel(report, "credits", lambda used: used.credits, _grouped, 100)


def _panel(
    report: Report,
    name: str,
    figure: Callable[[Used], int],
    written: Callable[[int], str],
    unit: int = 1,
    *,
    whole: bool = False,
) -> Panel:
    """Return a panel with a value for each day; 0 for days without usage. ``figure`` is divided by ``unit``."""
    by_day = {share.key: figure(share.used) for share in report.shares}
    values = [by_day.get(day, 0) for day in range(report.days.first, report.days.last + 1)]
    return Panel(name, [value / unit for value in values], [written(value) for value in values], whole=whole)


def _sum(shares: Sequence[Share]) -> Used:
    used = [share.used for share in shares]
    return Used(
        sum(each.jobs for each in used),
        sum(each.images for each in used),
        sum(each.credits for each in used),
        sum(each.device_ms for each in used),
    )


def _plain(cell: str) -> str:
    """Return a cell on one line that is no formula, also if a spreadsheet splits cells at ``;`` or ``|``."""
    line = _LATER_FORMULA.sub(r"\1'", " ".join(cell.split()))
    return f"'{line}" if line.startswith(_FORMULAS) else line


def _date(day: int) -> date:
    return datetime.fromtimestamp(day * DAY, UTC).date()
