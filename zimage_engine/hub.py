"""The Hugging Face Hub: the files of a model there, their download into the hub's cache, and its errors as sentences.

Free of torch. ``huggingface_hub`` is imported when it is first needed: importing it takes longer than everything else
that the bot needs before the model. It reads its own settings from the environment, among them ``HF_HOME`` (the folder
of the cache), ``HF_TOKEN``, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE``.
"""

from __future__ import annotations

import contextlib
import errno
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import Timeout

from zimage_engine.types import ModelNotFound

ReportBytes = Callable[[int, int], None]
"""Receives the bytes that are there and, of the files that were begun, the bytes in all. Called by several threads."""

T = TypeVar("T")

_PATTERNS = ["model_index.json", "*/*.json", "*/*.safetensors", "tokenizer/*"]
"""The files of a model that the loader reads; everything else in its repository is left out."""

_PARALLEL_FILES = 2
"""Files that are downloaded at once. A stopped process loses the files that are not complete, so these are few."""

PARTIAL = ".incomplete"
"""How the name of a file in the cache ends that is not complete."""

_PARTIAL_NAME = re.compile(rf"(\.[0-9a-f]{{8}})?{re.escape(PARTIAL)}$")
"""What the hub's library adds to a file's ETag, which may have dots itself, while it downloads the file."""

_LOCK_SECONDS = 0.1
"""How long to wait for the lock of a partial file; a process that downloads the file holds it to the end."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)

_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500

_OR_A_FOLDER = "or set MODEL to a folder with the weights in diffusers' layout."


class HubUnreachable(ModelNotFound):
    """The files are not on this machine, and the hub cannot be reached or cannot answer now."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a model's repository: its path there, its size, and whether it is in the cache already."""

    name: str
    bytes: int
    cached: bool


def cache_folder() -> Path:
    """Return the folder of the hub's cache, which need not exist: ``HF_HOME``/hub unless ``HF_HUB_CACHE`` is set."""
    from huggingface_hub.constants import HF_HUB_CACHE  # noqa: PLC0415 - slow to import

    return Path(HF_HUB_CACHE)


def cached_snapshot(model: str, patterns: Sequence[str] = _PATTERNS) -> Path | None:
    """Return the cached folder of this hub id, complete or not; None if there is none. Never asks the hub.

    ``patterns`` say which of its files are wanted.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        return Path(snapshot_download(model, allow_patterns=list(patterns), local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None


def list_files(model: str) -> list[HubFile]:
    """Ask the hub for the files of this hub id that the loader reads. Raises :class:`ModelNotFound`."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import

    bar = _reporting_bar(lambda _done, _total: None)
    found = _explained(model, lambda: snapshot_download(model, allow_patterns=_PATTERNS, dry_run=True, tqdm_class=bar))
    return [HubFile(each.filename, each.file_size or 0, each.is_cached) for each in found]


def download_files(model: str, report: ReportBytes) -> Path:
    """Download what the loader reads of this hub id, and return its folder in the cache.

    Files that are in the cache already are not downloaded again. A broken connection is taken up where it broke, within
    the file; a stopped process goes on with the files that it had not completed. Raises :class:`ModelNotFound`.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import

    bar = _reporting_bar(report)
    return Path(
        _explained(
            model,
            lambda: snapshot_download(model, allow_patterns=_PATTERNS, max_workers=_PARALLEL_FILES, tqdm_class=bar),
        )
    )


def remove_partial_files(model: str) -> None:
    """Delete what stopped processes left of this hub id's files: the hub's library cannot take it up again.

    The files that a process downloads at present are kept: it holds their locks. A process on another machine loses
    them if the disk that both share does not pass locks on; its download then ends with an error. Files that may not be
    locked or deleted are left.
    """
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - slow to import
    from huggingface_hub.file_download import repo_folder_name  # noqa: PLC0415
    from huggingface_hub.utils import WeakFileLock  # noqa: PLC0415

    try:
        repository = repo_folder_name(repo_id=model, repo_type="model")
    except HFValidationError:  # not an id: the download says so
        return
    locks = cache_folder() / ".locks" / repository
    for file in (cache_folder() / repository / "blobs").glob(f"*{PARTIAL}"):
        etag = _PARTIAL_NAME.sub("", file.name)
        with contextlib.suppress(Timeout, OSError), WeakFileLock(locks / f"{etag}.lock", timeout=_LOCK_SECONDS):
            file.unlink(missing_ok=True)


def download_file(model: str, name: str) -> Path:
    """Return the path of one small file of this hub id, downloaded if need be. Raises :class:`ModelNotFound`."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - slow to import

    return Path(_explained(model, lambda: hf_hub_download(model, name)))


def _explained(model: str, fetch: Callable[[], T]) -> T:
    """Return what ``fetch`` returns; its errors become :class:`ModelNotFound` with a sentence that says what to do."""
    # HTTPError is that of the HTTP library, which differs between versions of huggingface_hub.
    from huggingface_hub.errors import EntryNotFoundError, HTTPError  # noqa: PLC0415 - slow to import

    try:
        return fetch()
    # ValueError: the name is none of a model. RuntimeError: of the hub's own transfer library, hf_xet.
    except (HTTPError, EntryNotFoundError, OSError, ValueError, RuntimeError) as error:
        cause = _first_cause(error)
        kind = HubUnreachable if _is_unreachable(cause) else ModelNotFound
        raise kind(_sentence(model, cause)) from error


def _is_unreachable(error: Exception) -> bool:
    """Return True if the network or the hub is down, so that the same request may succeed later."""
    from huggingface_hub import errors  # noqa: PLC0415 - slow to import

    if isinstance(error, errors.HfHubHTTPError):
        status: int = error.response.status_code
        return status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR
    return isinstance(error, (errors.HTTPError, errors.LocalEntryNotFoundError))


def _first_cause(error: Exception) -> Exception:
    """Return the error that made the hub's library look for, and not find, the files in its cache."""
    from huggingface_hub.errors import DryRunError, LocalEntryNotFoundError  # noqa: PLC0415 - slow to import

    while isinstance(error, (DryRunError, LocalEntryNotFoundError)) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _sentence(model: str, error: Exception) -> str:
    from huggingface_hub import constants, errors  # noqa: PLC0415 - slow to import

    hub = constants.ENDPOINT
    match error:
        case errors.HFValidationError():
            return f"“{model}” is neither a folder nor a model of the Hugging Face Hub: check the name, {_OR_A_FOLDER}"
        case errors.OfflineModeIsEnabled():
            return f"“{model}” is not on this machine, and HF_HUB_OFFLINE forbids to download it: unset it."
        case errors.GatedRepoError():
            return (
                f"“{model}” is shared only with people who accept its terms: accept them at {hub}/{model}, set "
                f"HF_TOKEN to a token of that account ({hub}/settings/tokens), and try again."
            )
        case errors.RepositoryNotFoundError():
            return (
                f"There is no model “{model}” at {hub}, or it is private: check the name; for a private model set "
                f"HF_TOKEN to a token that may read it ({hub}/settings/tokens)."
            )
        case errors.EntryNotFoundError() | errors.RevisionNotFoundError():
            return f"“{model}” at {hub} is not in diffusers' layout: name another model, {_OR_A_FOLDER}"
        case errors.HfHubHTTPError():
            return _sentence_for_status(model, hub, error.response.status_code)
        case errors.HTTPError() | errors.LocalEntryNotFoundError():
            return (
                f"{hub} cannot be reached ({type(error).__name__}): check the network and try again, which goes on "
                f"where it stopped, {_OR_A_FOLDER}"
            )
        case OSError(errno=number) if number in _FULL:
            return (
                f"The disk of {cache_folder()} is full: make room there, or set HF_HOME to a folder on a larger disk, "
                "and try again; files that are complete are kept."
            )
        case OSError(errno=number) if number in _FORBIDDEN:
            return (
                f"{cache_folder()} cannot be written ({error.strerror}): give this user the right, or set HF_HOME to "
                "another folder."
            )
    return (
        f"The download of “{model}” broke off ({type(error).__name__}: {str(error)[:200]}): try again; files that are "
        "complete are kept."
    )


def _sentence_for_status(model: str, hub: str, status: int) -> str:
    if status in (401, 403):
        return (
            f"{hub} does not accept the token: make one that may read “{model}” at {hub}/settings/tokens, and set "
            "HF_TOKEN to it."
        )
    return f"{hub} cannot send “{model}” now (status {status}): try again in some minutes, {_OR_A_FOLDER}"


def _reporting_bar(report: ReportBytes) -> Any:
    """Return a class of progress bars for the hub's downloads that print nothing and report the bytes instead."""
    from tqdm import tqdm  # noqa: PLC0415 - slow to import

    class ReportingBar(tqdm):  # type: ignore[misc,type-arg,unused-ignore]
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)  # an option of the hub's own bars that tqdm's do not have
            super().__init__(*args, **(options | {"disable": False, "file": io.StringIO()}))

        def update(self, n: float | None = 1) -> bool | None:
            if self.unit == "B" and self.total:
                report(int(self.n + (n or 0)), int(self.total))
            return bool(super().update(n))

    return ReportingBar
