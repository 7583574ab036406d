"""``zimage-bot doctor``: checks the machine and the settings; one line for each check, with what to do."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bot.checks.checks import findings
from bot.checks.finding import Look, Surroundings


def examine(around: Surroundings, console: Console | None = None, look: Look = findings) -> bool:
    """Print every finding of ``look``. Returns True if there is nothing to fix."""
    console = console or Console()
    table = Table(box=None, show_header=False)
    sound = True
    for finding in look(around):
        mark = {True: "[green]ok[/]", False: "[red]fix[/]", None: "[yellow]note[/]"}[finding.ok]
        table.add_row(mark, finding.name, finding.text)
        sound = sound and finding.ok is not False
    console.print(table)
    return sound
