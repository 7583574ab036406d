"""The commands of a Ray cluster: make this machine a part of it, and look at it."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.cli.ending import or_explain, settings_or_explain, stop
from bot.errors import ExitStatus
from zimage_engine.catalog import PROFILES, either

_ADDRESS_HELP = "The cluster's HOST:PORT. Default: the RAY_ADDRESS setting."


def add_cluster_commands(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command()
    def worker(
        address: Annotated[str | None, typer.Option(help=_ADDRESS_HELP)] = None,
        listen: Annotated[
            str, typer.Option(help="This machine's address for the others. A head's default is loopback.")
        ] = "",
        port: Annotated[int, typer.Option(help="The port of the head.", min=1, max=65535)] = 6379,
        workers: Annotated[
            int | None, typer.Option(help="Workers on a machine without a GPU. Default: 1, on a head 0.", min=0, max=64)
        ] = None,
        profile: Annotated[str | None, typer.Option(help=f"{either(PROFILES)}. Default: the PROFILE setting.")] = None,
        drain: Annotated[float, typer.Option(help="Seconds to finish what has begun after a signal.", min=0)] = 60.0,
        *,
        head: Annotated[bool, typer.Option("--head", help="Start a new cluster instead of joining one.")] = False,
    ) -> None:
        """Make this machine a worker of the bot's Ray cluster, until Ctrl-C.

        Checks the driver, the versions and the weights first, as doctor does. A signal lets it finish what it has
        begun. docs/cluster.md shows the whole way.
        """
        settings = settings_or_explain(**({"profile": profile} if profile else {}))
        joined = None if head else address or settings.ray_address
        if not head and (joined is None or joined in ("local", "auto")):
            stop("Say which cluster to join, with --address HOST:PORT, or start one with --head.", ExitStatus.USAGE)
        _check(joined)
        from bot.cli.worker import WorkerOptions, run_worker  # noqa: PLC0415 - `--help` has to answer at once

        or_explain(lambda: run_worker(settings, WorkerOptions(joined, listen, port, workers, drain)))

    @app.command()
    def cluster(address: Annotated[str | None, typer.Option(help=_ADDRESS_HELP)] = None) -> None:
        """Show the nodes, devices and models of the bot's Ray cluster, and the queue."""
        if address not in ("local", "auto"):
            _check(address)
        settings = settings_or_explain()
        from bot.cli.cluster import show_cluster  # noqa: PLC0415 - as above

        or_explain(lambda: show_cluster(settings, address))


def _check(address: str | None) -> None:
    """End the program if the address is not that of a cluster."""
    from zimage_engine.cluster.config import is_address  # noqa: PLC0415 - as above

    if address is not None and not is_address(address):
        stop("--address takes a host and a port, like 10.0.0.1:6379.", ExitStatus.USAGE)
