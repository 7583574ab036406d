"""Structured logs: events with ids (``job=``), for people or as JSON. Never a token, prompts at DEBUG only."""

from __future__ import annotations

import logging
import re
import sys

import structlog
from structlog.typing import Processor

from bot.settings import Settings

_HANDLER = "zimage-bot"
_TOKEN = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/\s'\"?]+")
"""An interaction's token in a URL, as in the text of some of aiohttp's errors."""


class _WithoutTokens(structlog.stdlib.ProcessorFormatter):
    """Replaces interaction tokens in finished lines, including tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return _TOKEN.sub(r"\1…", super().format(record))


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
    formatter = _WithoutTokens(
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
