"""``make bench``: measures the engine against plain diffusers with the demo model, and the bot, on this machine.

Values are ratios with the same weights, dtype and threads, as medians of several alternating rounds, since machines are
noisy. ``floor`` is the best possible value here: that of the bare forwards, encodes and decodes in the same rounds. A
row is ok if it reaches its goal or, if the floor is worse than the goal, comes within 5 % of the floor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import figures
from benchmarks.answers import answers
from benchmarks.ledger import admitting, reporting, resolving
from benchmarks.rows import Row
from benchmarks.two_workers import two_workers
from benchmarks.workbench import open_workbench
from benchmarks.worker_process import worker_process

OUT = Path("build/bench.json")
ALONE = (*figures.ALONE, resolving)
OF_THE_BOT = (two_workers, admitting, reporting, answers)


def show(rows: list[Row], console: Console) -> None:
    table = Table(title="zimage-bot, demo model on this machine")
    for heading in ("figure", "value", "goal", "floor", "ok"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for row in rows:
        floor = "" if row.floor is None else f"{row.floor:.3g}"
        value = f"{row.value:.3g} {row.unit}".strip()
        table.add_row(row.name, value, f"{row.sign} {row.goal:g}", floor, "yes" if row.ok else "NO")
    console.print(table)


async def measure(rounds: int, console: Console) -> list[Row]:
    rows: list[Row] = []
    async with open_workbench() as bench:
        console.print(f"{bench.device}, {bench.threads} threads, batches of up to {bench.batch} at the base size")
        for figure in (*figures.ON_THE_BENCH, worker_process):
            with console.status(figure.__name__.replace("_", " ")):
                rows += await figure(bench, rounds)
    for plain in ALONE:
        rows += plain()
    for of_the_bot in OF_THE_BOT:
        with console.status(of_the_bot.__name__.replace("_", " ")):
            rows += await of_the_bot(rounds)
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5, help="rounds whose median is shown")
    options.add_argument("--out", type=Path, default=OUT)
    chosen = options.parse_args()
    logging.disable(logging.WARNING)
    console = Console()
    rows = asyncio.run(measure(chosen.rounds, console))
    show(rows, console)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    listed = [{key: value for key, value in asdict(row).items() if key != "sign"} | {"ok": row.ok} for row in rows]
    chosen.out.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {chosen.out}")


if __name__ == "__main__":
    main()
