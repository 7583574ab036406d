"""What the log must never hold."""

from __future__ import annotations

import aiohttp
import pytest
import structlog
from aiohttp import RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from bot.logs import configure_logging
from bot.settings import Settings


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("path", ["webhooks/12/secret/messages/@original", "interactions/12/secret/callback"])
def test_a_token_in_the_address_of_an_error_is_not_logged(
    settings: Settings, capsys: pytest.CaptureFixture[str], log_format: str, path: str
) -> None:
    configure_logging(settings.model_copy(update={"log_format": log_format}))
    url = URL(f"https://discord.com/api/v10/{path}")
    request = RequestInfo(url, "PATCH", CIMultiDictProxy(CIMultiDict()), url)
    log = structlog.get_logger("bot.test")
    try:
        raise aiohttp.TooManyRedirects(request, ())
    except aiohttp.ClientError as error:
        log.exception("card_not_removed", reason=str(error))
    written = capsys.readouterr().err
    assert "card_not_removed" in written
    assert "TooManyRedirects" in written
    assert "/12/…" in written
    assert "secret" not in written
