"""Limits hold for concurrent requests, through the service and through two processes on one file."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bot.errors import Refusal
from bot.jobs.job import Job, JobRequest
from bot.jobs.service import JobService
from bot.requests.spec import ImageOptions, build_spec
from bot.store import admission, ledger, limits, privacy
from bot.store.accounts import DAY
from bot.store.admission import JobDemand, Terms
from bot.store.database import Database
from bot.store.guild_settings import INSTANCE
from bot.store.jobs import NewJob
from bot.store.limits import LimitName, LimitRow, Requester
from bot.store.not_admitted import OverLimit
from tests.helpers import admitting, job_ends
from tests.helpers.cards import NoOutbox, show_card
from tests.helpers.databases import add_database
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.weights import complete_profile

ROOT = Path(__file__).parents[2]
MEMBER, SERVER = 5, 6
NOW = 1_000_000
HERE = Requester(MEMBER, SERVER, SERVER)
ANY: dict[LimitName, int | None] = dict.fromkeys(admitting.DEFAULTS)
PROFILE = complete_profile(find_profile("demo"))


def terms(**values: int | None) -> Terms:
    """Return terms with these limits and no others."""
    return Terms({**ANY, **values}, ANY)  # type: ignore[dict-item]


def request(event_id: int) -> JobRequest:
    """Return a request for one picture, which costs one credit."""
    spec, count = build_spec(ImageOptions("a red circle"), PROFILE, max_count=4)
    return JobRequest(event_id, spec, count, HERE, 7, "public", None)


@pytest.fixture
async def service(database: Database, tmp_path: Path) -> JobService:
    engine = Engine(EngineConfig(PROFILE, "cpu"))  # accepts requests but is never started
    service = JobService(database, engine, NoOutbox(), tmp_path / "images", terms())
    await service.start()
    service.pause(INSTANCE)  # jobs are admitted and wait; nothing reaches the engine
    return service


def admit(file: sqlite3.Connection, event_id: int, wanted: int, held_to: Terms, now: int = NOW) -> int:
    new = NewJob(
        *(event_id, MEMBER, SERVER, SERVER, 7, "public", "imagine", "{}", wanted, ((f"i{event_id}", 0),), "n", None),
        created_at=now,
    )
    admitted = admission.admit(file, new, HERE, JobDemand(wanted, 1, 1), held_to)
    assert admitted is not None
    return admitted.job_id


async def outcomes(service: JobService, count: int, first: int = 0) -> tuple[list[Job], list[str]]:
    """Submit ``count`` requests at once. Returns the jobs and the texts of the refusals."""
    results = await asyncio.gather(
        *(service.run(request(first + number), show_card) for number in range(count)), return_exceptions=True
    )
    taken = [result for result in results if isinstance(result, Job)]
    refused = [str(result) for result in results if isinstance(result, Refusal)]
    assert len(taken) + len(refused) == count, results
    return taken, refused


async def credits_in_use(database: Database) -> int:
    return await database.read(partial(ledger.used, member_id=MEMBER, scope_id=SERVER, now=int(time.time())))


async def test_of_200_commands_at_once_exactly_as_many_are_taken_as_there_are_credits(
    service: JobService, database: Database
) -> None:
    service.admission.terms = terms(credits_per_day=1500)
    assert len((await outcomes(service, 5))[0]) == 5
    taken, refused = await outcomes(service, 200, first=5)
    assert len(taken) == len({job.id for job in taken}) == 10
    assert len(refused) == 190
    assert all("You have used 15 of 15 in the last 24 hours." in text for text in refused)
    assert len(service.active) == 15
    assert await credits_in_use(database) == 1500


async def test_of_200_commands_at_once_exactly_as_many_wait_as_may(service: JobService) -> None:
    service.admission.terms = terms(concurrent_jobs=3, queued_jobs=4)
    taken, refused = await outcomes(service, 200)
    assert len(taken) == 7
    assert len(set(refused)) == 1


async def test_of_200_commands_at_once_no_ceiling_lets_more_through(service: JobService) -> None:
    service.admission.terms = replace(terms(), credits_per_user=800, credits_per_server=600, queue_length=9)
    assert len((await outcomes(service, 200))[0]) == 6


async def test_an_event_that_comes_twice_at_once_makes_one_job_and_one_reservation(
    service: JobService, database: Database
) -> None:
    service.admission.terms = terms(credits_per_day=100)
    results = await asyncio.gather(*(service.run(request(1), show_card) for _ in range(50)))
    assert sum(result is not None for result in results) == 1
    assert await credits_in_use(database) == 100


def test_two_processes_on_one_file_take_exactly_as_many_as_there_are_credits(tmp_path: Path) -> None:
    path = add_database(tmp_path / "bot.sqlite3")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", admitting.__name__, str(path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "busy\n"
    ends = [process.communicate(timeout=30) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    told = [json.loads(out) for out, _ in ends]
    assert sum(each["admitted"] for each in told) == 10
    assert all(each["asked"] > 20 for each in told), "both were at it"
    with closing(sqlite3.connect(path)) as connection:
        entries = connection.execute("SELECT count(*), sum(credits), count(DISTINCT job_id) FROM ledger").fetchone()
        assert entries == (10, 1000, 10)
        assert connection.execute("SELECT count(*) FROM jobs JOIN images ON job_id = jobs.id").fetchone() == (10,)


def test_who_may_have_nothing_drawn_is_refused_though_any_number_may_wait(file: sqlite3.Connection) -> None:
    with pytest.raises(OverLimit) as caught:
        admit(file, 1, 100, terms(concurrent_jobs=0, queued_jobs=None))
    assert caught.value.limit.name == "concurrent_jobs"


def test_a_grant_pays_what_the_day_does_not_and_comes_back_first_to_last(file: sqlite3.Connection) -> None:
    held_to = terms(credits_per_day=100)
    ledger.grant(file, MEMBER, SERVER, 300, NOW)
    job_id = admit(file, 1, 250, held_to)
    assert (ledger.used(file, MEMBER, SERVER, NOW), ledger.granted(file, MEMBER, SERVER)) == (100, 150)
    job_ends.ended(file, job_id, "cancelled", error_code=None, spent=120, now=NOW)
    assert (ledger.used(file, MEMBER, SERVER, NOW), ledger.granted(file, MEMBER, SERVER)) == (100, 280)
    assert ledger.granted(file, MEMBER, SERVER + 1) == 0, "it is for one server"


def test_a_grant_is_spent_once_though_its_owner_had_their_data_deleted(file: sqlite3.Connection) -> None:
    ledger.grant(file, MEMBER, SERVER, 500, NOW)
    privacy.forget_member(file, MEMBER, NOW)
    job_id = admit(file, 1, 300, terms(credits_per_day=0))
    job_ends.ended(file, job_id, "cancelled", error_code=None, spent=300, now=NOW)
    assert privacy.unlink(file, NOW + DAY) == 1
    assert ledger.granted(file, MEMBER, SERVER) == 200
    privacy.forget_member(file, MEMBER, NOW + DAY)
    assert privacy.unlink(file, NOW + 2 * DAY) == 1
    assert ledger.granted(file, MEMBER, SERVER) == 0, "who did not come back is forgotten with what was left"


def test_accounts_are_forgotten_in_the_order_in_which_they_were_closed(file: sqlite3.Connection) -> None:
    held_to = terms(credits_per_day=0)
    ledger.grant(file, MEMBER, SERVER, 500, NOW)
    stuck = admit(file, 1, 100, held_to)
    privacy.forget_member(file, MEMBER, NOW)
    job_ends.ended(file, admit(file, 2, 300, held_to), "cancelled", error_code=None, spent=300, now=NOW)
    privacy.forget_member(file, MEMBER, NOW)
    assert privacy.unlink(file, NOW + DAY) == 0, "one job still waits"
    assert ledger.granted(file, MEMBER, SERVER) == 100
    job_ends.ended(file, stuck, "failed", error_code=None, spent=0, now=NOW + DAY)
    privacy.forget_closed(file, NOW + DAY)
    assert privacy.unlink(file, NOW + DAY) == 2


def test_deleting_data_is_no_way_around_a_limit(file: sqlite3.Connection) -> None:
    held_to = terms(credits_per_day=1000)
    job_ends.ended(file, admit(file, 1, 900, held_to), "cancelled", error_code=None, spent=900, now=NOW)
    privacy.forget_member(file, MEMBER, NOW)
    with pytest.raises(OverLimit):
        admit(file, 2, 200, held_to)
    privacy.unlink(file, NOW + DAY)
    admit(file, 2, 200, held_to, NOW + DAY)


def test_a_refusal_says_when_enough_comes_back_for_just_this_job(file: sqlite3.Connection) -> None:
    held_to = terms(credits_per_day=1000)
    for number, wanted in enumerate((100, 200, 700)):
        admit(file, number, wanted, held_to, NOW + number)
    for wanted, at, back in ((50, NOW, 100), (250, NOW + 1, 300), (301, NOW + 2, 1000)):
        with pytest.raises(OverLimit) as caught:
            admission.check(file, HERE, JobDemand(wanted, 1, 1), held_to, NOW + 10)
        assert caught.value.renewal == ledger.Renewal(at + DAY, back)
    with pytest.raises(OverLimit) as caught:
        admission.check(file, HERE, JobDemand(1001, 1, 1), held_to, NOW + 10)
    assert caught.value.renewal is None


def test_asking_reads_no_table_whole(file: sqlite3.Connection) -> None:
    """Admission uses indexes; only open jobs may be scanned."""
    held_to = replace(terms(credits_per_day=1000, concurrent_jobs=1, queued_jobs=4), credits_per_user=10**6)
    held_to = replace(held_to, credits_per_server=10**6, queue_length=100)
    limits.write_limit(file, SERVER, LimitRow("role", 9, "credits_per_day", 5000))
    seen: list[str] = []
    file.set_trace_callback(seen.append)
    admit(file, 1, 100, held_to)
    admission.quota_state(file, replace(HERE, role_ids=(9, 10)), held_to, NOW)
    ledger.granted(file, MEMBER, SERVER)
    file.set_trace_callback(None)
    reads = [statement for statement in seen if statement.startswith("SELECT")]
    assert len(reads) > 15
    plans = {row[3] for read in reads for row in file.execute(f"EXPLAIN QUERY PLAN {read}")}
    assert {plan for plan in plans if plan.startswith("SCAN")} <= {
        "SCAN jobs USING INDEX jobs_open",
        "SCAN jobs USING INDEX jobs_by_state",
    }
    assert {plan for plan in plans if plan.startswith("SEARCH jobs")} == {
        "SEARCH jobs USING COVERING INDEX sqlite_autoindex_jobs_1 (source_id=?)",
        "SEARCH jobs USING INDEX jobs_open (owner_id=? AND scope_id=?)",
    }
