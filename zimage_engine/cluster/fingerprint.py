"""What has to be the same on all machines of a cluster, so that a picture does not depend on where it is generated."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from zimage_engine.profiles import ModelProfile
from zimage_engine.types import ModelNotFound
from zimage_engine.weights import Report, weights_folder

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of ``zimage_engine`` on this machine."""

_HEADER_MAX = 100_000_000
"""safetensors' own limit of a header, in bytes."""

_FOLDERS = ("scheduler", "text_encoder", "tokenizer", "transformer", "vae", "siglip", "siglip_processor")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """``engine`` is the hash of the engine's code, ``dtype`` the type of the weights on the device.

    ``files`` has, for each model, the hash of each config file and of each header of a safetensors file: the names,
    types and shapes of its tensors.
    """

    engine: str
    dtype: str
    files: Mapping[str, Mapping[str, str]]

    def difference(self, found: Fingerprint, where: str) -> str | None:
        """Return the sentence that says what differs on the machine ``where``, and what to do; None if nothing does."""
        if found.engine != self.engine:
            return (
                f"{where} runs another version of zimage-bot ({found.engine[:8]} instead of {self.engine[:8]}): "
                "install the same version there and start its worker again."
            )
        if found.dtype != self.dtype:
            return (
                f"{where} would compute in {found.dtype}, the others in {self.dtype}, and the same seed would give "
                "another picture: set DTYPE to a type that all of them have room for."
            )
        for model, files in self.files.items():
            theirs = found.files.get(model, {})
            for name in sorted(files.keys() | theirs.keys()):
                if files.get(name) != theirs.get(name):
                    return (
                        f"{where} has other files of the model {model} ({name}): download the same revision there "
                        "and start its worker again."
                    )
        return None


@cache
def engine_hash() -> str:
    """Return the hash of the engine's code as it is installed here."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def files_of(profile: ModelProfile, report: Report = lambda _: None) -> dict[str, str]:
    """Return the hashes of the model's config files and of its safetensors headers, by path.

    Downloads the weights of a hub id if they are not there. Raises :class:`ModelNotFound`.
    """
    folder = weights_folder(profile, report)
    paths = [folder / "model_index.json"]
    for name in _FOLDERS:
        paths += sorted(path for path in (folder / name).glob("*") if path.suffix in (".json", ".safetensors"))
    try:
        return {path.relative_to(folder).as_posix(): _hash(path) for path in paths}
    except (OSError, ValueError, struct.error) as error:
        raise ModelNotFound(f"{folder} cannot be read ({type(error).__name__}): download the model again.") from error


def local_profile(profile: ModelProfile, package: Path) -> ModelProfile:
    """Return another machine's profile for this one; ``package`` is the engine's folder there.

    Weights that ship with the program lie where the program does; other folders have one name on all machines.
    """
    weights = Path(profile.weights)
    if weights.is_relative_to(package):
        return replace(profile, weights=str(PACKAGE / weights.relative_to(package)))
    return profile


def _hash(path: Path) -> str:
    """Return the hash of a file; of a safetensors file, that of its header and of its size."""
    with path.open("rb") as stream:
        if path.suffix != ".safetensors":
            return hashlib.file_digest(stream, "sha256").hexdigest()
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > _HEADER_MAX:
            raise ValueError("no safetensors header")
        size = path.stat().st_size
        return hashlib.sha256(stream.read(length) + str(size).encode()).hexdigest()
