"""What the bot measures of itself, by its names in Prometheus; ``METRICS_ADDR`` serves them.

Counters and histograms count from the start of the process, wherever something happens. Gauges are set when somebody
asks: see :mod:`bot.monitoring.gauges`. No label holds a name, an id or a text of a member.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

_SHORT = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_LONG = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_WHERE = ("device", "model")
_RATIO = (0.25, 0.5, 0.67, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0, 4.0)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(f"zimage_{name}", meaning, labels, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    return Gauge(f"zimage_{name}", meaning, labels, registry=REGISTRY)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"zimage_{name}", meaning, labels, buckets=buckets, registry=REGISTRY)


JOBS_ADMITTED = _counter("jobs_admitted", "Jobs that were taken into the queue.", "kind")
JOBS_ENDED = _counter("jobs_ended", "Jobs that ended, by their last state.", "state", "kind")
DELIVERY_RETRIES = _counter("delivery_retries", "Results that could not be posted and are to be tried again.")
ETA_RATIO = _histogram(
    "eta_ratio", "Time that a picture took, divided by the first time that its owner was told.", _RATIO
)

UNIT_SECONDS = _histogram(
    "unit_seconds", "Time of a device for one unit, such as a denoising step.", _LONG, "unit", *_WHERE
)
DEVICE_SECONDS = _counter("device_seconds", "Time that the devices were busy.", "unit", *_WHERE)
BATCH_REQUESTS = _histogram(
    "batch_requests", "Pictures that shared a denoising step.", (1, 2, 3, 4, 6, 8, 12, 16, 32), *_WHERE
)
BATCH_FILL = _histogram(
    "batch_fill_ratio",
    "Tokens of a denoising step, divided by the token budget.",
    (0.1, 0.25, 0.5, 0.75, 0.9, 1.0),
    *_WHERE,
)
OUT_OF_MEMORY = _counter("out_of_memory", "Units that were too large for a device's memory.", "unit", *_WHERE)

DATABASE_SECONDS = _histogram("database_seconds", "Time of one transaction in its thread.", _SHORT, "access")
DISCORD_REQUESTS = _counter("discord_requests", "Answers of Discord's HTTP interface; 429 is a rate limit.", "status")
DISCORD_SECONDS = _histogram("discord_request_seconds", "Time until Discord answered a request.", _SHORT)
EVENT_LOOP_LAG = _histogram("event_loop_lag_seconds", "How late the event loop ran a timer of 0.1 s.", _SHORT)
HOUSEKEEPING_FAILURES = _counter("housekeeping_failures", "Chores of the daily task that failed.", "chore")

INFO = _gauge("info", "1, with the version, the model and the device.", "version", "model", "device")
ENGINE_STATE = _gauge("engine_state", "1 for the engine's state, 0 for the others.", "state")
ENGINE_REQUESTS = _gauge("engine_requests", "Pictures that wait for the device or are on it.", "state")
WORKER_RESTARTS = _gauge("worker_restarts", "How often the worker of a device was replaced.", "device")
DEVICE_STATE = _gauge("device_state", "1 for the state of a device, 0 for the others.", "device", "state")
DEVICE_MODEL = _gauge("device_model", "1 for each model that a device holds.", "device", "model")
JOBS_OPEN = _gauge("jobs_open", "Jobs that have not ended.", "state", "kind")
OLDEST_WAIT = _gauge("oldest_wait_seconds", "Age of the oldest job that waits or runs; 0 without one.")
UNDELIVERED = _gauge("undelivered_results", "Results that could not be posted at once and are tried again.")
GATEWAY_LATENCY = _gauge("gateway_latency_seconds", "Time until Discord acknowledged the last heartbeat.", "shard")
GATEWAY_CONNECTED = _gauge("gateway_connected", "1 if the shard is connected.", "shard")
HEALTHY = _gauge("healthy", "1 if the check of /healthz holds.", "check")
DATABASE_BYTES = _gauge("database_bytes", "Size of the database.")
DISK_FREE = _gauge("disk_free_bytes", "Free space of the disk with the bot's data.")
MEMORY = _gauge("memory_bytes", "Resident memory of the bot's process and of its children.", "process")
