"""``docs/quickstart.ipynb`` runs, shows what it is kept with, and uses only what the engine's interface documents."""

from __future__ import annotations

import ast
import base64
import re
from io import BytesIO

import numpy as np
import pytest
from nbformat import NotebookNode
from PIL import Image

from tests.engine_api import documented
from tests.notebook import NOT_RUN, NOTEBOOK, VARIES, code_cells, execute, read, tags

OF_THE_ENGINE = {"engine", "profile", "turbo", "request", "requests", "event", "preview", "finished", "lighthouse"}
"""The notebook's variables that hold the engine's objects."""

PIXEL_TOLERANCE = 2.0
"""Of 255, in the mean: another processor or version of torch rounds differently."""


def pictures(cell: NotebookNode) -> list[Image.Image]:
    data = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    return [Image.open(BytesIO(base64.b64decode(each))).convert("RGB") for each in data]


def texts(cell: NotebookNode) -> list[tuple[str, str]]:
    """What a cell shows, with the texts of its streams and results; of pictures their kind alone."""
    shown = []
    for output in cell.outputs:
        if output.output_type == "stream":
            shown.append((output.name, output.text))
        else:
            shown += [(kind, text if kind == "text/plain" else "") for kind, text in sorted(output.data.items())]
    return shown


def variable(node: ast.expr) -> str:
    """The variable that a chain such as ``requests[0].image.to_pil()`` begins with; empty if it begins otherwise."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def test_the_notebook_is_kept_with_what_it_shows_and_small() -> None:
    cells = {cell.id: cell for cell in code_cells(read())}
    assert [name for name, cell in cells.items() if NOT_RUN not in tags(cell) and not cell.outputs] == ["setup"]
    assert sum(len(pictures(cell)) for cell in cells.values()) >= 7
    assert NOTEBOOK.stat().st_size <= 600_000
    assert "/site-packages/" not in NOTEBOOK.read_text(encoding="utf-8")
    assert all(output.output_type != "error" for cell in cells.values() for output in cell.outputs)


def test_the_cell_for_a_gpu_says_that_it_was_not_run() -> None:
    cells = read().cells
    (place,) = [number for number, cell in enumerate(cells) if NOT_RUN in tags(cell)]
    assert cells[place].outputs == []
    assert "Tongyi-MAI/Z-Image-Turbo" in cells[place].source
    assert cells[place].source.startswith("# Not run here")
    assert "**Not run here:**" in cells[place - 1].source


def test_the_links_of_the_notebook_lead_somewhere() -> None:
    prose = "\n".join(cell.source for cell in read().cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#([^)]+))?\)", prose)
    assert len(links) >= 5
    for page, heading in links:
        titles = re.findall(r"^#+ (.+)$", (NOTEBOOK.parent / page).read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", title).replace(" ", "-").lower() for title in titles}
        assert not heading or heading in anchors, (page, heading)


def test_the_notebook_uses_only_documented_names() -> None:
    known = documented()
    members = {name.partition(".")[2] for name in known}
    tree = ast.parse("\n".join(cell.source for cell in code_cells(read())))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported = {alias.name for node in imports if node.module == "zimage_engine" for alias in node.names}
    assert "Engine" in imported
    assert imported <= known
    assert not any(str(node.module).startswith("zimage_engine.") for node in imports)
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and variable(node) in OF_THE_ENGINE}
    assert {"submit", "request", "result", "to_pil"} <= used
    assert used <= members


@pytest.mark.system
async def test_the_notebook_shows_what_it_is_kept_with() -> None:
    """Runs every cell in a kernel, which imports torch and generates 25 pictures: half a minute on two idle cores."""
    kept = read()
    shown = await execute(kept)
    for before, now in zip(code_cells(kept), code_cells(shown), strict=True):
        assert texts(now) == texts(before), f"{now.id}: read what has changed, then keep it with: make notebook"
        for old, new in zip(pictures(before), pictures(now), strict=True):
            if VARIES not in tags(now):
                assert new.size == old.size, now.id
                difference = float(np.abs(np.asarray(new, float) - np.asarray(old, float)).mean())
                assert difference < PIXEL_TOLERANCE, f"{now.id}: look at it, then keep it with: make notebook"
            else:
                assert len(new.getcolors(new.width * new.height) or []) > 100, f"{now.id}: an empty picture"
