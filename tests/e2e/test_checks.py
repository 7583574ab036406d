"""The checks of the proof against evidence that is right, and against evidence that is broken in one way each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.e2e.checks import check
from tests.e2e.evidence import Ask, Evidence
from tests.helpers.loopback import APPLICATION, CHANNEL, MEMBER, Attachment, Entry, Message

TOKEN = "token-100"


def png() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


def buttons(*custom_ids: str) -> tuple[dict[str, Any], ...]:
    return ({"type": 1, "components": [{"type": 2, "custom_id": each} for each in custom_ids]},)


PICTURE = Attachment("1", "zimage-1.png", png(), "", "image/png")
CARD = Message(
    "10", CHANNEL, APPLICATION, "a cat\nIn the queue.", components=buttons("zib:cancel:7"), interaction=TOKEN
)
RESULT = Message("11", CHANNEL, APPLICATION, "a cat", components=buttons("zib:more:j7"), attachments=(PICTURE,))
SENTENCE = replace(CARD, content="a cat\nIt failed.", components=())
READING = replace(CARD, content="a cat\nReading the picture …", components=())
JOB = {
    "id": 7, "source_id": 100, "state": "delivered", "spec": json.dumps({"prompt": "a cat"}), "credits": 100,
    "error_code": None, "visibility": "public", "channel_id": int(CHANNEL), "result_message_id": 11,
}  # fmt: skip
IMAGE = {"job_id": 7, "state": "rendered", "charge": 75}
ASK = Ask("100", "imagine", MEMBER, CHANNEL, TOKEN, "a cat")


def record(*entries: tuple[str, Message]) -> list[Entry]:
    return [Entry(float(at), what, message) for at, (what, message) in enumerate(entries)]  # type: ignore[arg-type]


def ledger(**entries: int) -> list[dict[str, Any]]:
    return [{"job_id": 7, "entry": entry, "credits": amount} for entry, amount in entries.items()]


GOOD = Evidence(
    record(("posted", CARD), ("posted", RESULT), ("deleted", CARD)),
    [ASK],
    frozenset(),
    [JOB],
    [IMAGE],
    ledger(reserved=100, settled=75, given_back=25),
)
FAILED = replace(
    GOOD,
    record=record(("posted", CARD), ("edited", SENTENCE)),
    jobs=[JOB | {"state": "failed"}],
    images=[IMAGE | {"state": "failed", "charge": 0}],
    ledger=ledger(reserved=100, settled=0, given_back=100),
)
CANCELLED = replace(
    FAILED, record=record(("posted", CARD), ("deleted", CARD)), jobs=[JOB | {"state": "cancelled"}],
    cancelled=frozenset({7}),
)  # fmt: skip
NO_JOB = replace(GOOD, record=record(("posted", READING), ("edited", SENTENCE)), jobs=[], images=[], ledger=[])
IN_PLACE = replace(RESULT, id="10", interaction=TOKEN)
LOOSE = replace(SENTENCE, id="12", interaction=None)

BUTTON = Ask("101", "strong", MEMBER, CHANNEL, "token-101")
LOST_BUTTON = [("posted", CARD), ("posted", RESULT), ("deleted", CARD), ("posted", LOOSE)]

RIGHT = {
    "a lost request of a button, which repeats a prompt": replace(
        GOOD, record=record(*LOST_BUTTON), asks=[ASK, BUTTON]
    ),
    "a result and no card": GOOD,
    "a result in place of the card": replace(
        GOOD, record=record(("posted", CARD), ("edited", IN_PLACE)), jobs=[JOB | {"result_message_id": 10}]
    ),
    "a failure on the card": FAILED,
    "a failure as an ordinary message": replace(
        FAILED, record=record(("posted", CARD), ("deleted", CARD), ("posted", LOOSE))
    ),
    "a cancelled job": CANCELLED,
    "a sentence before there was a job": NO_JOB,
    "a sentence in another message": replace(
        NO_JOB, record=record(("posted", READING), ("deleted", READING), ("posted", LOOSE))
    ),
    "a command that nobody heard": replace(NO_JOB, record=[]),
    "a late command": replace(
        CANCELLED,
        record=[],
        cancelled=frozenset(),
        jobs=[JOB | {"state": "cancelled", "error_code": "not_acknowledged"}],
    ),
}

WRONG: dict[str, tuple[Evidence, str]] = {
    "a second result": (
        replace(GOOD, record=[*GOOD.record, *record(("posted", replace(RESULT, id="13")))]),
        "has 2 results",
    ),
    "a second result that was deleted": (
        replace(
            GOOD,
            record=[*record(("posted", replace(RESULT, id="9")), ("deleted", replace(RESULT, id="9"))), *GOOD.record],
        ),
        "has 2 results",
    ),
    "a result that is not there": (replace(GOOD, record=[]), "has no result: lost"),
    "a result and a failure": (replace(FAILED, record=[*FAILED.record, *record(("posted", RESULT))]), "has a result"),
    "a result and a sentence": (
        replace(GOOD, record=record(("posted", CARD), ("posted", RESULT), ("edited", SENTENCE))),
        "has 1 sentences",
    ),
    "another message in the row": (replace(GOOD, jobs=[JOB | {"result_message_id": 5}]), "names message 5"),
    "a picture too few": (replace(GOOD, images=[IMAGE, IMAGE | {"charge": 0}]), "shows 1 of 2 pictures"),
    "a private result in public": (replace(GOOD, jobs=[JOB | {"visibility": "private"}]), "its result is public"),
    "an open job": (replace(GOOD, jobs=[JOB | {"state": "running"}]), "still running: lost"),
    "a failure that nobody was told": (
        replace(FAILED, record=record(("posted", CARD), ("deleted", CARD))),
        "0 sentences",
    ),
    "a failure that was told twice": (
        replace(FAILED, record=[*FAILED.record, *record(("posted", LOOSE))]),
        "1 sentences for 0",
    ),
    "a job cancelled by nobody": (replace(CANCELLED, cancelled=frozenset()), "nobody asked for that: lost"),
    "a job given up although it was answered": (
        replace(
            CANCELLED, cancelled=frozenset(), jobs=[JOB | {"state": "cancelled", "error_code": "not_acknowledged"}]
        ),
        "nobody asked for that: lost",
    ),
    "a card that is left": (replace(GOOD, record=GOOD.record[:2]), "a card of job 7 (delivered) is left"),
    "a card whose job never came": (replace(NO_JOB, record=record(("posted", READING))), "never ended: lost"),
    "a refusal that was told twice": (
        replace(NO_JOB, record=[*NO_JOB.record, *record(("posted", replace(SENTENCE, id="12")))]),
        "was refused with",
    ),
    "an unexpected error": (
        replace(NO_JOB, record=record(("posted", replace(SENTENCE, content="It went wrong. (error 12ab)")))),
        "was refused with",
    ),
    "credits settled twice": (replace(GOOD, ledger=[*GOOD.ledger, *ledger(settled=0)]), "'settled': 2"),
    "credits not settled": (replace(GOOD, ledger=ledger(reserved=100)), "1.00 credits left in reserve"),
    "credits given back twice": (replace(GOOD, ledger=[*GOOD.ledger, *ledger(given_back=0)]), "'given_back': 2"),
    "more settled than charged": (replace(GOOD, ledger=ledger(reserved=100, settled=100)), "its images cost 0.75"),
    "a failure that was charged": (replace(FAILED, ledger=ledger(reserved=100, settled=100)), "its images cost 0.00"),
    "a picture that cannot be decoded": (
        replace(GOOD, record=record(("posted", replace(RESULT, attachments=(replace(PICTURE, data=b"no"),))))),
        "cannot be decoded",
    ),
    "a lost request of a button that was told twice": (
        replace(GOOD, record=record(*LOST_BUTTON, ("posted", replace(LOOSE, id="13"))), asks=[ASK, BUTTON]),
        "2 sentences for 0 failed jobs",
    ),
    "a broken database": (replace(GOOD, integrity="row 3 missing"), "row 3 missing"),
    "a row in open_cards": (replace(GOOD, open_cards=1), "left in open_cards"),
    "a request that Discord refuses": (replace(GOOD, refused=["POST: content"]), "Discord refuses: POST: content"),
    "a stop that took too long": (replace(GOOD, unstopped=["it did not stop"]), "it did not stop"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_evidence_that_is_right(name: str) -> None:
    report = check(RIGHT[name])
    assert report.wrong == []
    assert report.line.startswith("ok: ")


@pytest.mark.parametrize("name", WRONG)
def test_evidence_that_is_broken(name: str) -> None:
    evidence, fault = WRONG[name]
    report = check(evidence)
    assert any(fault in each for each in report.wrong), report.wrong
    assert report.line.startswith("FAILED: ")


def count(figure: Callable[[Any], int], *names: str) -> int:
    return sum(figure(check(WRONG[name][0] if name in WRONG else RIGHT[name])) for name in names)


def test_the_figures_of_the_last_line() -> None:
    assert check(GOOD, 3).line == (
        "ok: 1 jobs, 3 restarts, 1 results, 0 failures, 0 cancelled, 0 refused, 0 duplicates, 0 lost, "
        "1 images decoded, 0.75 credits settled, 0.00 still reserved, 0 faults"
    )
    assert count(lambda report: report.duplicates, "a second result", "a result and no card") == 1
    assert count(lambda report: report.lost, "an open job", "a card whose job never came", "a cancelled job") == 2
    assert count(lambda report: report.reserved, "credits not settled") == 100
    assert count(lambda report: report.refused, "a sentence before there was a job") == 1
