"""How a process reaches a Ray cluster: its address and what Ray reads from the environment. Imports no Ray."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from zimage_engine.types import NotAvailable

LOOPBACK = "127.0.0.1"
RAY_MISSING = "Ray is not installed: run `pip install 'zimage-bot[cluster]'`."


@dataclass(frozen=True, slots=True)
class RayLink:
    """The way into a cluster, for the processes that connect to it.

    ``address`` is the host and port of the cluster's control service; empty for a head that is to be started.
    ``token_path`` is the file with the cluster's token; None leaves it to ``RAY_AUTH_TOKEN``, ``RAY_AUTH_TOKEN_PATH``
    or Ray's default file. ``node_ip`` is the address of this machine's node; empty: Ray finds it.
    """

    address: str
    token_path: Path | None = None
    node_ip: str = ""

    @property
    def loopback(self) -> bool:
        """Whether nobody outside this machine can reach the cluster."""
        return LOOPBACK in (self.node_ip, self.address.rpartition(":")[0].replace("localhost", LOOPBACK))


def token_file() -> Path | None:
    """Return the file that the cluster's token is read from; None if it is in the environment or not used at all."""
    if os.environ.get("RAY_AUTH_MODE", "token") != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return None
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray" / "auth_token"


def check_token() -> None:
    """Raise :class:`NotAvailable` if the cluster's token is to be used and is nowhere to be found."""
    if (path := token_file()) is not None and not path.is_file():
        raise NotAvailable(
            f"There is no token for the Ray cluster in {path}: copy the head's there, or name its file in "
            "RAY_AUTH_TOKEN_PATH."
        )


def wrong_token(address: str) -> str:
    """Return the sentence for a cluster that does not take the token, with what to do."""
    if (path := token_file()) is not None:
        return f"The Ray cluster at {address} has another token than {path}: copy the head's ~/.ray/auth_token there."
    if os.environ.get("RAY_AUTH_TOKEN"):
        return f"The Ray cluster at {address} has another token than RAY_AUTH_TOKEN: set it to the head's."
    return f"The Ray cluster at {address} wants a token: remove RAY_AUTH_MODE, and copy the head's ~/.ray/auth_token."


def asking_environment() -> dict[str, str]:
    """Return the environment of a process that only asks a cluster whether it answers."""
    return {"RAY_AUTH_MODE": "token", **os.environ}


def set_ray_environment(link: RayLink) -> None:
    """Set what Ray reads from the environment of this process and its children. Call it before Ray is imported.

    Token authentication is on unless ``RAY_AUTH_MODE`` says otherwise, and no usage statistics are sent. Ray only
    listens on the loopback address, and only looks for a cluster there, if told that it runs on one machine; the name
    of that option is of Windows and macOS, where it is the default.
    """
    os.environ.pop("RAY_ADDRESS", None)  # the bot's setting of that name says more than Ray's
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # else a call after the end would start a cluster on this machine
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0" if link.loopback else "1"
    if link.token_path is not None:
        os.environ.pop("RAY_AUTH_TOKEN", None)
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(link.token_path)
