"""The proof: what must be true of Discord's record and the database when everything is quiet. Pure functions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image

from tests.e2e.evidence import READING, Ask, Evidence, Row, jobs_in

_TOLD = ("failed", "expired")
"""The states in which a job's owner is told a sentence."""
_ENDED = ("delivered", "cancelled", *_TOLD)
_NOT_ANSWERED = "not_acknowledged"
_ERROR_ID = "(error "


@dataclass
class Report:
    """The figures of a run, and what is wrong in words.

    ``jobs`` counts what was accepted: ``results``, ``failures``, ``cancelled``, and ``refused`` before there was a job.
    ``credits`` is what was settled and ``reserved`` what still is, both in 1/100.
    """

    jobs: int = 0
    restarts: int = 0
    results: int = 0
    failures: int = 0
    cancelled: int = 0
    refused: int = 0
    duplicates: int = 0
    lost: int = 0
    images: int = 0
    credits: int = 0
    reserved: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The last line of the output."""
        return (
            f"{'ok' if not self.wrong else 'FAILED'}: {self.jobs} jobs, {self.restarts} restarts, "
            f"{self.results} results, {self.failures} failures, {self.cancelled} cancelled, {self.refused} refused, "
            f"{self.duplicates} duplicates, {self.lost} lost, {self.images} images decoded, "
            f"{self.credits / 100:.2f} credits settled, {self.reserved / 100:.2f} still reserved, "
            f"{len(self.wrong)} faults"
        )


def check(evidence: Evidence, restarts: int = 0) -> Report:
    """Check everything. Returns the figures and the faults."""
    report = Report(restarts=restarts, jobs=len(evidence.jobs))
    for job in evidence.jobs:
        _check_and_count(evidence, job, report)
    accepted = {str(job["source_id"]) for job in evidence.jobs}
    for ask in evidence.asks:
        if ask.event_id not in accepted:
            _check_answer(evidence, ask, report)
    report.credits = sum(row["credits"] for row in evidence.ledger if row["entry"] == "settled")
    report.wrong += check_sentences(evidence)
    report.wrong += check_leftovers(evidence)
    _check_pictures(evidence, report)
    return report


def _check_and_count(evidence: Evidence, job: Row, report: Report) -> None:
    faults = list(check_job(evidence, job))
    results = len(evidence.results.get(job["id"], []))
    report.results += min(results, 1)
    report.duplicates += max(0, results - 1)
    report.failures += job["state"] in _TOLD
    report.cancelled += job["state"] == "cancelled"
    report.lost += any(fault.endswith("lost") for fault in faults)
    report.reserved += abs(_still_reserved(evidence, job["id"]))
    report.wrong += [*faults, *check_ledger(evidence, job)]


def check_job(evidence: Evidence, job: Row) -> Iterator[str]:
    """Check that a job has exactly one result, or none and one sentence at most, or was cancelled by a member."""
    number, state = job["id"], job["state"]
    results = evidence.results.get(number, [])
    if state not in _ENDED:
        yield f"job {number} is still {state}: lost"
        return
    if len(results) > 1:
        yield f"job {number} ({state}) has {len(results)} results: {[result.id for result in results]}"
    sentences = len(evidence.card_sentences(number))
    if sentences > (0 if state == "delivered" else 1):
        yield f"job {number} ({state}) has {sentences} sentences"
    if state == "delivered":
        yield from _check_delivered(evidence, job)
    elif results:
        yield f"job {number} is {state} and has a result"
    elif state == "cancelled" and not _may_be_cancelled(evidence, job):
        yield f"job {number} is cancelled ({job['error_code']}) and nobody asked for that: lost"


def _check_delivered(evidence: Evidence, job: Row) -> Iterator[str]:
    number = job["id"]
    if number not in evidence.results:
        yield f"job {number} is delivered and has no result: lost"
        return
    result = evidence.results[number][0]
    rendered = [row for row in evidence.images if row["job_id"] == number and row["state"] == "rendered"]
    if len(result.attachments) != len(rendered):
        yield f"job {number} shows {len(result.attachments)} of {len(rendered)} pictures"
    if str(job["result_message_id"]) != result.id:
        yield f"job {number} names message {job['result_message_id']}, but its result is {result.id}"
    if job["visibility"] == "private" and result.seen_by is None and result.channel_id == str(job["channel_id"]):
        yield f"job {number} is private and its result is public"


def _may_be_cancelled(evidence: Evidence, job: Row) -> bool:
    """Return whether a member cancelled the job, or Discord never had an answer to what asked for it."""
    if job["id"] in evidence.cancelled:
        return True
    asked = [ask for ask in evidence.asks if ask.event_id == str(job["source_id"])]
    return job["error_code"] == _NOT_ANSWERED and not any(evidence.answers(ask) for ask in asked)


def _check_answer(evidence: Evidence, ask: Ask, report: Report) -> None:
    """Check what became no job: if it was answered at all, then with one sentence, and none of an unexpected error."""
    answers = evidence.answers(ask)
    if not answers:
        return  # the bot was away, and Discord says so
    report.jobs += 1
    sentences = {answer.id: answer.content for answer in answers if _is_sentence(answer.content, answer.custom_ids)}
    if len(sentences) > 1 or any(_ERROR_ID in sentence for sentence in sentences.values()):
        report.wrong.append(f"{ask.kind} {ask.event_id} was refused with {list(sentences.values())}")
    if sentences or _told_loosely(evidence, ask):
        report.refused += 1
        return
    report.lost += 1
    report.wrong.append(f"{ask.kind} {ask.event_id} was answered with {answers[-1].content!r} and never ended: lost")


def _is_sentence(content: str, custom_ids: tuple[str, ...]) -> bool:
    return bool(content) and READING not in content and not any(each.startswith("zib:cancel") for each in custom_ids)


def _told_loosely(evidence: Evidence, ask: Ask) -> bool:
    """Return whether an ordinary message repeats the prompt of what was asked."""
    return ask.prompt is not None and any(ask.prompt in content for content in _loose_sentences(evidence))


def check_sentences(evidence: Evidence) -> Iterator[str]:
    """Check that each failed job is told once: on its card, or in one ordinary message that repeats its prompt."""
    loose = _loose_sentences(evidence)
    prompts = {job["id"]: json.loads(job["spec"])["prompt"] for job in evidence.jobs}
    failed = [job["id"] for job in evidence.jobs if job["state"] in _TOLD]
    waiting = Counter(prompts[number] for number in failed if not evidence.card_sentences(number))
    accepted = {str(job["source_id"]) for job in evidence.jobs}
    # What a crash interrupted before there was a job may be told, too.
    lost = [ask.prompt for ask in evidence.asks if ask.event_id not in accepted]
    others, buttons = Counter(prompt for prompt in lost if prompt), lost.count(None)  # a button repeats any prompt
    for prompt in {*prompts.values(), *others}:
        told = sum(prompt in content for content in loose)
        more = told - waiting[prompt] - others[prompt]
        if more > 0:
            buttons -= more
        if told < waiting[prompt] or (more > 0 and buttons < 0):
            missing = ": lost" if told < waiting[prompt] else ""
            yield f"{told} sentences for {waiting[prompt]} failed jobs of {prompt!r}{missing}"


def _loose_sentences(evidence: Evidence) -> list[str]:
    """Return the texts of messages that never had buttons and answered no interaction."""
    return [
        all_of_it[-1].content
        for all_of_it in evidence.messages.values()
        if all(not version.custom_ids and version.interaction is None for version in all_of_it)
    ]


def check_ledger(evidence: Evidence, job: Row) -> Iterator[str]:
    """Check that a job's credits are settled once, as its images were charged, and that nothing stays reserved."""
    number, state = job["id"], job["state"]
    entries = Counter(row["entry"] for row in evidence.ledger if row["job_id"] == number)
    if entries["reserved"] != 1 or entries["settled"] != 1 or entries["given_back"] > 1:
        yield f"job {number} ({state}) has {dict(entries)} in the ledger"
    rest = _still_reserved(evidence, number)
    if rest:
        yield f"job {number} ({state}) has {rest / 100:.2f} credits left in reserve"
    settled = _sum(evidence, number, "settled")
    charged = sum(row["charge"] or 0 for row in evidence.images if row["job_id"] == number)
    expected = 0 if state in _TOLD else min(charged, job["credits"])
    if settled != expected:
        yield f"job {number} ({state}) settled {settled / 100:.2f} credits, its images cost {expected / 100:.2f}"


def _still_reserved(evidence: Evidence, job_id: int) -> int:
    return _sum(evidence, job_id, "reserved") - _sum(evidence, job_id, "settled") - _sum(evidence, job_id, "given_back")


def _sum(evidence: Evidence, job_id: int, entry: str) -> int:
    return sum(row["credits"] for row in evidence.ledger if row["job_id"] == job_id and row["entry"] == entry)


def _check_pictures(evidence: Evidence, report: Report) -> None:
    """Check that every picture that the bot ever posted can be decoded."""
    posted = {
        attachment.id: attachment
        for all_of_it in evidence.messages.values()
        for version in all_of_it
        for attachment in version.attachments
    }
    for attachment in posted.values():
        try:
            Image.open(BytesIO(attachment.data)).load()
        except OSError as error:
            report.wrong.append(f"{attachment.filename} cannot be decoded: {error}")
        else:
            report.images += 1


def check_leftovers(evidence: Evidence) -> Iterator[str]:
    """Check that no card is left, that the database is whole, and that Discord took every request."""
    states = {job["id"]: job["state"] for job in evidence.jobs}
    for message in evidence.now.values():
        for job in jobs_in(message):
            yield f"a card of job {job} ({states.get(job, 'unknown')}) is left: {message.content!r}"
        if READING in message.content:
            yield f"a card without a job is left: {message.content!r}"
    if evidence.open_cards:
        yield f"{evidence.open_cards} rows are left in open_cards"
    if evidence.integrity != "ok":
        yield f"the database is broken: {evidence.integrity}"
    yield from (f"Discord refuses: {problem}" for problem in evidence.refused)
    yield from evidence.unstopped
