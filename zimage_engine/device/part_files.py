"""Which parts of several models are the same, from their files. Free of torch. Blocks while files are read.

Two weight files are the same if they are one file (by a link, or as one blob of the hub's cache), if the hub gave both
the same SHA-256, or if their sizes, some samples of their bytes and then their SHA-256 are equal. So whole files are
read only if they are very likely the same, and their hashes are cached.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from zimage_engine.device.cached_json import read_cached, write_cached
from zimage_engine.device.memory import PARTS, SIGLIP, weight_files
from zimage_engine.types import ModelNotFound

_HASHES_FILE = "hashes.json"
_HASHES_MAX = 200
_SAMPLE_BYTES = 2**20
"""The header of a safetensors file is in the first sample: it takes some hundred bytes for each tensor."""

_VERSIONS = ("_name_or_path", "_diffusers_version", "transformers_version")
"""Entries of a config.json that say who saved it, and not what the part is."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file as it was when it was looked at: ``path`` is resolved, ``stamp`` changes if the file does."""

    path: Path
    size: int
    stamp: tuple[int, int, int]

    @classmethod
    def at(cls, path: Path) -> WeightFile:
        """Look at a file. Raises :class:`OSError`."""
        stat = path.stat()
        return cls(path.resolve(), stat.st_size, (stat.st_dev, stat.st_ino, stat.st_mtime_ns))

    @property
    def hub_hash(self) -> str | None:
        """The SHA-256 by which the hub's cache names large files; None for a file elsewhere."""
        name = self.path.name
        return name if self.path.parent.name == "blobs" and _SHA256.fullmatch(name) else None


@dataclass(frozen=True, slots=True)
class PartFiles:
    """The files of a part: its kind, a digest of the small ones, and the weights. :class:`SameFiles` compares them."""

    part: str
    digest: bytes
    weights: tuple[WeightFile, ...] = ()

    @property
    def size(self) -> int:
        """The bytes of the weights' files."""
        return sum(file.size for file in self.weights)

    @classmethod
    def of(cls, folder: Path, part: str) -> PartFiles:
        """Look at the files of a part of the model in ``folder``. Raises :class:`ModelNotFound`."""
        place = folder / part
        try:
            if part not in (*PARTS, SIGLIP):
                small = sorted(path for path in place.iterdir() if path.is_file())
                return cls(part, _digest(_named(path.name, path.read_bytes()) for path in small))
            config = json.loads((place / "config.json").read_text(encoding="utf-8"))
            kept = {name: value for name, value in config.items() if name not in _VERSIONS}
            text = json.dumps(kept, sort_keys=True).encode()
            return cls(part, _digest([text]), tuple(WeightFile.at(path) for path in weight_files(place)))
        except (OSError, ValueError, AttributeError) as error:
            raise ModelNotFound(
                f"The files in {place} cannot be read ({type(error).__name__}): download the model again."
            ) from error

    def with_more(self, part: str, *more: PartFiles | bytes) -> PartFiles:
        """Return the files of something that is made of this part and of ``more``."""
        others = [each for each in more if isinstance(each, PartFiles)]
        digests = [each if isinstance(each, bytes) else each.digest for each in more]
        weights = (*self.weights, *(file for other in others for file in other.weights))
        return PartFiles(part, _digest([self.digest, *digests]), weights)


def _named(name: str, content: bytes) -> bytes:
    return name.encode() + b"\0" + content


def _digest(pieces: Iterable[bytes]) -> bytes:
    """Return a digest that also depends on where each piece ends."""
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(hashlib.sha256(piece).digest())
    return whole.digest()


@dataclass
class SameFiles:
    """Compares the files of parts. Hashes are kept in ``cache_dir``, if there is one."""

    cache_dir: Path | None = None
    report: Callable[[str], None] = lambda _: None
    _hashes: dict[str, dict[str, object]] = field(default_factory=dict)

    def __call__(self, one: PartFiles, other: PartFiles) -> bool:
        """Return whether the parts are the same; False if a file cannot be read or has changed meanwhile."""
        if (one.part, one.digest, len(one.weights)) != (other.part, other.digest, len(other.weights)):
            return False
        try:
            return all(map(self._same, one.weights, other.weights))
        except OSError:
            return False

    def _same(self, one: WeightFile, other: WeightFile) -> bool:
        if one.size != other.size:
            return False
        if one.stamp == other.stamp:
            return True
        if one.hub_hash and other.hub_hash:
            return one.hub_hash == other.hub_hash
        if _samples(one) != _samples(other):
            return False
        found = self._hash(one)
        return found is not None and found == self._hash(other)

    def _hash(self, file: WeightFile) -> str | None:
        """Return the SHA-256 of a file's content; None if the file has changed since it was looked at."""
        if file.hub_hash:
            return file.hub_hash
        if WeightFile.at(file.path).stamp != file.stamp:
            return None
        path = None if self.cache_dir is None else self.cache_dir / _HASHES_FILE
        name, seen = str(file.path), [file.size, *file.stamp]
        for known in (self._hashes, read_cached(path)):
            entry = known.get(name)
            if isinstance(entry, dict) and entry.get("seen") == seen:
                return str(entry.get("sha256"))
        self.report("comparing the models' files")
        with file.path.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        self._hashes[name] = {"seen": seen, "sha256": found}
        stored = read_cached(path) | self._hashes
        write_cached(path, dict(list(stored.items())[-_HASHES_MAX:]))
        return found


def _samples(file: WeightFile) -> list[bytes]:
    """Return the first, middle and last bytes of a file."""
    last = max(file.size - _SAMPLE_BYTES, 0)
    samples = []
    with file.path.open("rb") as content:
        for start in (0, last // 2, last):
            content.seek(start)
            samples.append(content.read(_SAMPLE_BYTES))
    return samples
