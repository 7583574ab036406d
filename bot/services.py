"""What runs behind the client: lock, database, engine, jobs and housekeeping."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import Callable
from functools import cache, partial

import filelock
import structlog

from bot.configured_models import choose_profiles, engine_config
from bot.daemon_thread import in_daemon_thread
from bot.data_settings import Unlimited
from bot.errors import TemporaryFault, from_engine
from bot.jobs.completion import Outbox
from bot.jobs.service import JobService
from bot.privacy.disk_space import DiskSpace
from bot.privacy.housekeeping import Housekeeping
from bot.privacy.outside_discord import OperatorRequests
from bot.privacy.privacy import Privacy
from bot.privacy.removed_places import RemovedPlaces
from bot.privacy.store_check import check_store
from bot.requests.models import Models
from bot.requests.pricing import cheapest
from bot.settings import Settings
from bot.store.admission import Terms
from bot.store.data_lock import data_lock, in_use
from bot.store.database import Database
from bot.store.database_thread import to_its_end
from bot.store.faults import explained
from bot.store.limits import CEILINGS, LIMITS, LimitUnit
from bot.store.queue_places import QueueShares
from zimage_engine.cluster.config import ClusterConfig
from zimage_engine.cluster.start import start_on_cluster
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.executor import import_worker
from zimage_engine.prompt_tokens import PromptTokens
from zimage_engine.types import EngineError

log = structlog.get_logger(__name__)

_CLOSING_SECONDS = 1.5
StartEngine = Callable[[EngineConfig], Engine]


def engine_starter(settings: Settings) -> StartEngine:
    """Return what starts the engine: on this machine's devices, or on the Ray cluster that the settings name."""
    if settings.ray_address is None:
        return Engine.start
    workers = None if settings.workers == "auto" else settings.workers
    return partial(start_on_cluster, ClusterConfig(settings.ray_address, workers, settings.data_dir / "ray"))


def configured_terms(settings: Settings, models: Models) -> Terms:
    """Return the default limits, the ceilings, and the caps of the models, as the settings say."""
    defaults = {kind.name: _value(kind.unit, getattr(settings, kind.name)) for kind in LIMITS.values()}
    direct = {
        kind.name: _value(kind.unit, getattr(settings, kind.direct_setting or kind.name)) for kind in LIMITS.values()
    }
    ceilings = {
        name: _value(LIMITS[kind.unit_of].unit, getattr(settings, f"ceiling_{name}")) for name, kind in CEILINGS.items()
    }
    return Terms(
        defaults,
        direct,
        **ceilings,
        queue_shares=QueueShares(settings.queue_share_per_user, settings.queue_share_per_server),
        caps={"max_pixels": max(profile.max_pixels for profile in models.profiles), "max_count": settings.max_count},
        # Half the usual sides; what the cheapest picture costs.
        floors={
            "max_pixels": min(profile.base_size.pixels for profile in models.profiles) // 4,
            "credits_per_day": cheapest(models),
        },
        direct_messages=settings.direct_messages,
        user_install=settings.user_install,
    )


def _value(unit: LimitUnit, setting: float | Unlimited) -> int | None:
    """Return a setting as an integer in the limit's unit, None if unlimited."""
    if setting == "unlimited":
        return None
    return round(setting * 100) if unit == "credits" else int(setting)


class Services:
    """Everything but Discord. The attributes exist once :meth:`start` has returned."""

    database: Database
    engine: Engine
    jobs: JobService
    housekeeping: Housekeeping
    removed_places: RemovedPlaces
    disk_space: DiskSpace
    privacy: Privacy
    operator_requests: OperatorRequests

    def __init__(self, settings: Settings, start_engine: StartEngine = Engine.start) -> None:
        self._settings = settings
        self._start_engine = start_engine
        self._lock = data_lock(settings.data_dir)
        self._started: list[str] = []

    async def start(self, outbox: Outbox) -> None:
        """Take the lock, open the database, begin to load the model, and go on with the jobs that are left.

        Raises :class:`StartupError` after stopping what had been started.
        """
        try:
            await self._start(outbox)
        except EngineError as error:
            await self.stop()
            raise from_engine(error) from error
        except (OSError, sqlite3.Error):
            await self.stop()
            with explained(self._settings.database_path):
                raise
        except BaseException:
            await self.stop()
            raise

    async def _start(self, outbox: Outbox) -> None:
        settings = self._settings
        await to_its_end(asyncio.to_thread(self._take_lock))
        self.database = await Database.open(settings.database_path)
        self._started.append("database")
        await check_store(self.database, (settings.image_dir, settings.original_dir))
        models = Models(await in_daemon_thread(partial(choose_profiles, settings)))
        if settings.worker == "thread" and settings.ray_address is None:
            # Now, while nobody waits for an answer: the engine's thread would hold up the event loop with it later.
            await in_daemon_thread(import_worker)
        # Also now: reading a large tokenizer holds the interpreter's lock for a second.
        prompts = await in_daemon_thread(partial(PromptTokens.load, models.default))
        await asyncio.to_thread(_exempt_imports_from_gc)
        self.engine = self._start_engine(engine_config(settings, *models.profiles))
        self._started.append("engine")
        for profile in models.profiles:
            log.info("model_loading", profile=profile.name, source=profile.weights)
        terms = configured_terms(settings, models)
        self.jobs = JobService(
            self.database,
            self.engine,
            outbox,
            settings.image_dir,
            terms,
            previews=settings.previews,
            server_weights=settings.server_weights,
            prompts=prompts,
            models=models,
        )
        await self.jobs.start()
        self._started.append("jobs")
        self.housekeeping = Housekeeping(
            self.database,
            settings.database_path,
            settings.image_dir,
            self.jobs.originals.folder,
            retention_days=settings.retention_days,
            backup_days=settings.backup_days,
            full_backups=settings.full_backup_dir,
            backup_keep=settings.backup_keep,
        )
        self.housekeeping.start()
        self.removed_places = RemovedPlaces(self.database, settings.image_dir)
        self.removed_places.start()
        self.disk_space = DiskSpace(
            self.database,
            settings.image_dir,
            settings.original_dir,
            max_bytes=settings.data_max_bytes,
            min_free=settings.min_free_bytes,
        )
        self.privacy = Privacy(self.database, self.jobs, settings.database_path, settings.image_dir)
        self.operator_requests = OperatorRequests(self.database, self.privacy)
        self.jobs.admission.has_room = lambda: self.disk_space.has_room
        self._started.append("housekeeping")

    async def check(self) -> None:
        """Look after the disk and what the operator asks for. The client calls it regularly; what fails is logged."""
        await self.disk_space.check_if_due()
        await self.operator_requests.check()

    async def suspend(self) -> None:
        """Stop the engine when its running unit has ended, and leave every job that is not finished to the next start.

        Until :meth:`stop`, new jobs are admitted and kept.
        """
        if "jobs" in self._started:
            await self.jobs.suspend()
        if "engine" in self._started:
            self._started.remove("engine")
            await self.engine.close(timeout=self._settings.shutdown_seconds)

    async def stop(self) -> None:
        """Stop everything that was started."""
        await self.suspend()
        started, self._started = self._started, []
        if "jobs" in started:
            await self.jobs.close(_CLOSING_SECONDS)
        if "housekeeping" in started:
            await self.housekeeping.close()
            await self.removed_places.close()
            await self.operator_requests.close()
        try:
            if "database" in started:
                await self.database.close()
        finally:
            self._lock.release()

    def _take_lock(self) -> None:
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise TemporaryFault(in_use(self._settings.data_dir)) from error


@cache  # to ask the collector whether it skips something takes 50 ms: it counts what it skips
def _exempt_imports_from_gc() -> None:
    """Let later garbage collections skip everything that exists now. Does nothing after the first time. Blocks.

    A full collection holds the interpreter's lock. Over the 450,000 objects of torch and transformers it takes 0.2
    seconds, in which the event loop stands still; it was caused by whatever made many objects, such as an export.
    """
    gc.collect()
    gc.freeze()
