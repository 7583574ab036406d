"""Refusals of a request that offer others in its place."""

from __future__ import annotations

from dataclasses import dataclass

from bot.errors import Refusal
from bot.requests.spec import ImageOptions


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another request for the same thing: a button's ``label``, and the ``options`` that replace those given."""

    label: str
    options: ImageOptions


class RequestRefused(Refusal):
    """The request is not carried out as it stands; a button submits each of ``alternatives`` in its place."""

    def __init__(self, sentence: str, *alternatives: Alternative) -> None:
        super().__init__(sentence)
        self.alternatives = alternatives
