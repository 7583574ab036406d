"""Runs ``docs/quickstart.ipynb`` with the demo model, and keeps what it shows: ``python -m tests.notebook``.

The notebook is its own source: edit the cells, then run this. Two tags of cells mean something: one with
``skip-execution`` is not run, and one with ``varies`` shows what differs from run to run, such as times.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from copy import deepcopy
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
NOT_RUN, VARIES = "skip-execution", "varies"

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_CELL_SECONDS = 300
_LOADING_NOISE = re.compile(r"^.*TqdmWarning.*\n.*$|^.*Loading weights.*$", re.MULTILINE)
"""What transformers' progress bar leaves in stderr, with paths and times in it."""


def read() -> NotebookNode:
    """Return the notebook as it is kept. Raises ``nbformat.ValidationError`` if it is not a valid one."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells that hold code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    """Return a cell's tags."""
    return list(cell.metadata.get("tags", []))


async def execute(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of the notebook with what its cells show now, run in a new process of this interpreter.

    Left out is what says only where and when that was. Raises ``CellExecutionError`` for the first cell that fails.
    """
    notebook = deepcopy(notebook)
    with tempfile.TemporaryDirectory(prefix="zimage-notebook-") as folder:
        # Without folders of kernels, "python3" is this interpreter.
        kernels = KernelSpecManager(kernel_dirs=[])
        manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=kernels,
            transport="ipc",
            connection_file=f"{folder}/kernel.json",
        )
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=_CELL_SECONDS,
            record_timing=False,
            coalesce_streams=True,
            shutdown_kernel="immediate",
            skip_cells_with_tag=NOT_RUN,
            resources={"metadata": {"path": str(ROOT)}},
        )
        # In one thread the sums come in the same order, however many cores there are.
        environment = os.environ | {"IPYTHONDIR": folder, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        # Unless told so, the client ends only a kernel whose manager it has made.
        await client.async_execute(env=environment, cleanup_kc=True)
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in code_cells(notebook):
        cell.outputs = [output for output in cell.outputs if not _is_noise(output)]
    return notebook


def _is_noise(output: NotebookNode) -> bool:
    return output.get("name") == "stderr" and not _LOADING_NOISE.sub("", output.text).strip()


if __name__ == "__main__":
    nbformat.write(asyncio.run(execute(read())), NOTEBOOK)
