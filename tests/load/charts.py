"""The picture of a soak in docs/reliability.md: ``python -m tests.load.charts FOLDER``, that of the soak."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt

from tests.load.samples import read_samples
from tests.load.soak import BOUNDS

IMAGES = Path(__file__).parents[2] / "docs" / "images"
_TITLES = {"rss": "memory, MB", "handles": "handles", "threads": "threads", "tasks": "tasks of the event loop"}


def draw_soak(folder: Path, path: Path) -> None:
    """Draw memory, handles, threads and tasks over time."""
    samples = read_samples(folder / "samples.jsonl")
    minutes = [(sample.at - samples[0].at) / 60 for sample in samples]
    figure, axes = plt.subplots(2, 2, figsize=(9, 4.5), sharex=True)
    for axis, name in zip(axes.flat, BOUNDS, strict=True):
        values = [getattr(sample, name) / (1e6 if name == "rss" else 1) for sample in samples]
        axis.plot(minutes, values, linewidth=0.6)
        axis.set_ylim(0, max(values) * 1.15)
        axis.set_title(_TITLES[name], fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("minutes")
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


if __name__ == "__main__":
    draw_soak(Path(sys.argv[1]), IMAGES / "soak.png")
