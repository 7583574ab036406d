"""Structured logs: events with ids (``job=``), for people or as JSON. Never a token, prompts at DEBUG only."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import Processor

from bot.settings import Settings
from zimage_engine.printed_lines import PrintedLines

log = structlog.get_logger(__name__)

_HANDLER = "zimage-bot"
_QUIET = ("discord", "aiosqlite", "PIL", "urllib3", "httpx", "httpcore", "filelock", "asyncio")
"""At DEBUG these log every step they take, ``discord`` also URLs that hold interaction tokens."""

_CHATTY = ("yoyo",)
"""At INFO these log a line for each statement of a migration."""

RECONNECTS = ("Attempting a reconnect", "Failed to connect for shard_id")
"""How the lines begin that discord.py logs with a traceback, though a lost connection is nobody's fault."""

_SLASH = r"(?:/|%2F|%252F)"
_KEPT = "kept"
_TOKENS = (
    # An interaction's or webhook's token in a URL, which a proxy may have put into another URL.
    rf"(?P<{_KEPT}>{_SLASH}(?:webhooks|interactions){_SLASH}\d+{_SLASH})[^/\s'\"?&%<>]+",
    # A token by its name in JSON, in a dict or in the repr of an object.
    rf"(?P<{_KEPT}>\b(?:\w+_)?token(?:\\*[\"'])?\s*[:=]\s*\\*[\"'])[^\"'\\]+",
    # What Discord's tokens look like anywhere: base64 of "interaction:…", and a bot's three parts.
    rf"(?P<{_KEPT}>)\baW50ZXJhY3Rpb246[\w-]+",
    rf"(?P<{_KEPT}>)\b[\w-]{{23,30}}\.[\w-]{{6,7}}\.[\w-]{{27,}}",
    rf"(?P<{_KEPT}>)\bhf_[A-Za-z0-9]{{16,}}",
)


class _WithoutTokens(structlog.stdlib.ProcessorFormatter):
    """Replaces tokens in finished lines, including tracebacks: the bot's own ``secret``, and what looks like one.

    A net below the code that logs, which names an error's type and status instead of its text.
    """

    def __init__(self, secret: str, **options: Any) -> None:
        super().__init__(**options)
        literal = rf"(?P<{_KEPT}>){re.escape(secret)}"
        self._patterns = [re.compile(text, re.IGNORECASE) for text in (*([literal] if secret else []), *_TOKENS)]

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for pattern in self._patterns:
            line = pattern.sub(rf"\g<{_KEPT}>…", line)
        return line


def configure_logging(settings: Settings) -> None:
    """Send our events and the libraries' log lines to standard error in one format.

    Libraries that say too much keep a level of their own.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # Plain tracebacks: the pretty ones print local variables, and with them prompts and tokens.
    last: Processor = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    if settings.log_format == "json":
        last = structlog.processors.JSONRenderer(ensure_ascii=False)
    token = settings.discord_token
    formatter = _WithoutTokens(
        token.get_secret_value() if token is not None else "",
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([structlog.processors.format_exc_info] if settings.log_format == "json" else []),
            last,
        ],
    )
    handler = logging.StreamHandler(_real_stderr())
    handler.setFormatter(formatter)
    handler.set_name(_HANDLER)
    handler.addFilter(_shorten_reconnects)
    root = logging.getLogger()
    root.handlers = [*(other for other in root.handlers if other.get_name() != _HANDLER), handler]
    root.setLevel(settings.log_level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(settings.log_level)))
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))


def _shorten_reconnects(record: logging.LogRecord) -> bool:
    """Make discord.py's tracebacks of lost connections a warning of one line; the traceback is logged at DEBUG."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and record.name.startswith("discord") and str(record.msg).startswith(RECONNECTS):
        log.debug("connection_lost", exc_info=_exc_info(error))
        record.msg, record.args = f"{record.getMessage()} ({type(error).__name__}: {error})", ()
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return record.levelno >= logging.getLogger().level


def log_stop(reason: str, status: int) -> None:
    """Log why the program ends, as JSON also if the settings could not be read."""
    if all(handler.get_name() != _HANDLER for handler in logging.getLogger().handlers):
        configure_logging(Settings.in_code(log_format="json"))
    log.error("stopped", reason=reason, status=status)


@contextlib.contextmanager
def crashes_logged() -> Iterator[None]:
    """Log what nobody has caught in this block, in any thread, instead of printing it; the program ends with status 1.

    Warnings of Python are logged, too.
    """
    before = threading.excepthook, sys.unraisablehook, warnings.showwarning
    threading.excepthook = _log_thread
    sys.unraisablehook = _log_unraisable
    logging.captureWarnings(capture=True)
    try:
        yield
    except Exception:
        log.critical("crashed", exc_info=True)
        raise SystemExit(1) from None
    finally:
        logging.captureWarnings(capture=False)
        threading.excepthook, sys.unraisablehook, warnings.showwarning = before


def _log_thread(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_value is not None and not isinstance(crash.exc_value, SystemExit):
        name = crash.thread.name if crash.thread is not None else ""
        log.error("thread_crashed", thread=name, exc_info=_exc_info(crash.exc_value))


def _log_unraisable(crash: sys.UnraisableHookArgs) -> None:
    if crash.exc_value is not None:
        log.error("exception_ignored", where=repr(crash.object), exc_info=_exc_info(crash.exc_value))


def _exc_info(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    return type(error), error, error.__traceback__


@contextlib.contextmanager
def prints_logged() -> Iterator[None]:
    """Log the lines that libraries print to standard error in this block, except for progress bars."""
    before = sys.stderr
    sys.stderr = PrintedLines(before, lambda line: log.warning("printed", text=line))
    try:
        yield
    finally:
        sys.stderr = before


def _real_stderr() -> Any:
    return sys.stderr.real if isinstance(sys.stderr, PrintedLines) else sys.stderr
