"""The files of the models that share a device: where each part is, how large it is, and which are the same. Torch-free.

Blocks while files are looked at; see :mod:`zimage_engine.device.part_files` for how much of them is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from zimage_engine.device.memory import PARTS, SIGLIP, PartSize, PartSizes, weights_of
from zimage_engine.device.model_memory import Parts
from zimage_engine.device.part_files import PartFiles, SameFiles
from zimage_engine.preview_files import PREVIEW_FILE

EMBEDDINGS, PREVIEWS = "embeddings", "previews"
"""What is made of parts, and shared by models that have the same ones."""

_SMALL_PARTS = ("tokenizer", f"{SIGLIP}_processor")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model by part, and the weights in them. ``parts`` has what is made of the parts, too.

    Equal values in the ``parts`` of two models are one object on the device.
    """

    folder: Path
    parts: Mapping[str, PartFiles]
    weights: Mapping[str, PartSize]

    @property
    def sizes(self) -> PartSizes:
        """The sizes of the parts for a plan of the memory."""
        encoder, transformer, vae, siglip = (self.weights.get(part, PartSize(0)) for part in (*PARTS, SIGLIP))
        return PartSizes(encoder, transformer, vae + siglip)

    @property
    def sizes_by_files(self) -> Parts:
        """The sizes of the parts by their files."""
        return {self.parts[part]: size for part, size in self.weights.items()}

    def bytes_beside(self, loaded: Collection[PartFiles]) -> int:
        """Return the bytes of the weights' files that are those of no ``loaded`` part."""
        return sum(self.parts[part].size for part in self.weights if self.parts[part] not in loaded)


class ModelFolders:
    """Looks at models' folders, and gives parts that are the same equal values. Hashes are kept in ``cache_dir``."""

    def __init__(self, cache_dir: Path | None = None, report: Callable[[str], None] = lambda _: None) -> None:
        self._same = SameFiles(cache_dir, report)
        self._seen: list[PartFiles] = []

    def look(self, folder: Path) -> ModelFiles:
        """Return the files of the model in a folder. Raises :class:`ModelNotFound` if some are damaged."""
        found = {part: folder / part for part in (*PARTS, SIGLIP, *_SMALL_PARTS) if (folder / part).is_dir()}
        parts = {part: self._first(PartFiles.of(folder, part)) for part in found}
        weights = {part: weights_of(place) for part, place in found.items() if part not in _SMALL_PARTS}
        if {"tokenizer", *PARTS} <= parts.keys():
            preview, mode = folder / PREVIEW_FILE, b"omni" if SIGLIP in parts else b""
            matrix = preview.read_bytes() if preview.is_file() else b""
            parts |= {
                PREVIEWS: self._first(parts["vae"].with_more(PREVIEWS, matrix)),
                EMBEDDINGS: self._first(parts["text_encoder"].with_more(EMBEDDINGS, parts["tokenizer"], mode)),
            }
        return ModelFiles(folder, parts, weights)

    def _first(self, files: PartFiles) -> PartFiles:
        """Return the files that were seen first of those that are the same."""
        for seen in self._seen:
            if self._same(seen, files):
                return seen
        self._seen.append(files)
        return files
