"""A server on loopback that answers as the Hugging Face Hub does where ``huggingface_hub`` downloads a model.

``FakeHub(folder)`` serves a folder as the model ``MODEL``. Its attributes say what goes wrong.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

MODEL = "somebody/a-model"
COMMIT = "5" * 40


@dataclass
class FakeHub:
    """Serves ``folder``. ``requests`` has the method, path and Range header of each request."""

    folder: Path
    url: str = ""
    refusal: tuple[int, dict[str, str]] | None = None
    """The status and headers with which everything is answered instead."""
    breaks: dict[str, int] = field(default_factory=dict)
    """The bytes of a file after which its connection breaks, once."""
    hangs: dict[str, int] = field(default_factory=dict)
    """The bytes of a file after which nothing more is sent, until the test ends."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def sent(self, name: str) -> list[str | None]:
        """The Range headers of the requests for the content of a file."""
        return [begin for method, path, begin in self.requests if method == "GET" and path.endswith(f"/{name}")]


@contextmanager
def fake_hub(folder: Path) -> Iterator[FakeHub]:
    hub = FakeHub(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            path = urlsplit(self.path).path
            hub.requests.append((self.command, path, self.headers["Range"]))
            if hub.refusal is not None:
                self.send(hub.refusal[0], b"{}", hub.refusal[1])
            elif path == f"/api/models/{MODEL}/revision/main":
                siblings = [{"rfilename": self.name(file)} for file in hub.files()]
                self.send_json({"id": MODEL, "modelId": MODEL, "sha": COMMIT, "siblings": siblings, "tags": []})
            elif path == f"/api/models/{MODEL}/tree/{COMMIT}":
                self.send_json(
                    [
                        {"type": "file", "path": self.name(file), "size": file.stat().st_size, "oid": etag(file)}
                        for file in hub.files()
                    ]
                )
            elif match := re.fullmatch(rf"/{MODEL}/resolve/(main|{COMMIT})/(.+)", path):
                self.send_file(match[2])
            else:
                self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        def name(self, file: Path) -> str:
            return file.relative_to(hub.folder).as_posix()

        def send_json(self, content: object) -> None:
            self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

        def send_file(self, name: str) -> None:
            file = hub.folder / name
            if not file.is_file():
                self.send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
                return
            content = file.read_bytes()
            headers = {"ETag": f'"{etag(file)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            begin = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
            if begin is None:
                self.send(200, content, headers, name)
                return
            first = int(begin[1])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self.send(206, content[first:], headers, name)

        def send(self, status: int, content: bytes, headers: dict[str, str], name: str = "") -> None:
            self.send_response(status)
            for key, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            broken, hanging = hub.breaks.pop(name, None), hub.hangs.get(name)
            self.wfile.write(content[: broken if broken is not None else hanging])
            if broken is not None:
                self.close_connection = True
            elif hanging is not None:
                hub.ended.wait(60)
                self.close_connection = True

    return Handler


def etag(file: Path) -> str:
    """Return a hash that tells the files of a repository apart."""
    return hashlib.sha1(
        f"{file.parent.name}/{file.name} {file.stat().st_size}".encode(), usedforsecurity=False
    ).hexdigest()
