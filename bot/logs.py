"""Structured logs: events with ids (``job=``), for people or as JSON. Never a token, prompts at DEBUG only."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import Processor

from bot.settings import Settings

_HANDLER = "zimage-bot"
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

    ``discord`` stays at INFO whatever the level: at DEBUG it prints URLs that hold interaction tokens.
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.set_name(_HANDLER)
    root = logging.getLogger()
    root.handlers = [*(other for other in root.handlers if other.get_name() != _HANDLER), handler]
    root.setLevel(settings.log_level)
    for name in ("discord", "aiosqlite", "PIL", "urllib3", "httpx", "filelock", "asyncio", "yoyo"):
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(settings.log_level)))
