"""Discord's JSON error codes, as far as the loopback answers with them."""

from __future__ import annotations

from typing import Any

ERRORS: dict[int, tuple[int, str]] = {
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10007: (404, "Unknown Member"),
    10008: (404, "Unknown Message"),
    10013: (404, "Unknown User"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    40005: (413, "Request entity too large"),
    40060: (400, "Interaction has already been acknowledged."),
    50001: (403, "Missing Access"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50007: (403, "Cannot send messages to this user"),
    50008: (400, "Cannot send messages in a non-text channel"),
    50013: (403, "Missing Permissions"),
    50027: (401, "Invalid Webhook Token"),
    50035: (400, "Invalid Form Body"),
    50083: (400, "Thread is archived"),
    160002: (403, "Cannot reply without permission to read message history"),
    160005: (403, "Thread is locked"),
}
"""The HTTP status and the message of each code."""


class ApiError(Exception):
    """What Discord answers instead of doing what was asked."""

    def __init__(self, code: int, detail: str | None = None) -> None:
        self.code = code
        self.status, self.message = ERRORS[code]
        super().__init__(detail or self.message)

    def body(self) -> dict[str, Any]:
        return {"message": str(self), "code": self.code}
