"""Serves the playground's page on loopback, to whoever has the printed link."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from simcord.backend.errors import BackendError, SetupError
from simcord.enums import AppCommandType
from simcord.preview import _server
from simcord.preview._server import PreviewServer

from bot.playground.faults import FAULTS
from bot.playground.simcord_parts import REPLACED

if TYPE_CHECKING:
    from bot.playground.session import Playground

_HOST = "127.0.0.1"
_STATIC = Path(__file__).with_name("static")
_OWN_TYPES = {".js": "application/javascript", ".css": "text/css", ".png": "image/png"}
_OWN_FILES = {
    f"/{file.relative_to(_STATIC).as_posix()}": _OWN_TYPES[file.suffix]
    for file in sorted(_STATIC.rglob("*"))
    if file.suffix in _OWN_TYPES
}
_HEAD = (
    "".join(f'<link rel="stylesheet" href="{path}">' for path in _OWN_FILES if path.endswith(".css"))
    + '<link rel="icon" href="/playground/zimage-bot.png"><script type="module" src="/playground.js"></script></head>'
)
_CLOSED = "Open the link that zimage-bot playground printed: it holds the key to this page."
_MENUS = {"message": AppCommandType.MESSAGE, "user": AppCommandType.USER}
_MAX_FILES = 10
_MAX_FILE_BYTES = 10 * 2**20
_MAX_TEXT = 4000

log = structlog.get_logger(__name__)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageServer(PreviewServer):
    """SimCord's page with one more script and style, a cookie in front of everything, and routes of its own."""

    def __init__(self, playground: Playground, port: int) -> None:
        super().__init__(playground.preview, port)
        self._playground = playground

    async def start(self) -> None:
        """Listen. Raises simcord's ``SetupError`` if the port is taken."""
        _server.web = web  # the base class imports it here
        app = web.Application(middlewares=[self._check_key], handler_args={"handler_cancellation": False})
        router = app.router
        router.add_get("/", self._index)
        for path in self._STATIC_FILES:
            if path != "/":
                router.add_get(path, self._static)
        router.add_delete("/api/pages/{context_id}", self._delete_page)
        router.add_get("/api/state", self._state)
        router.add_get("/api/commands", self._commands)
        router.add_get("/api/action-result", self._action_result)
        router.add_post("/api/action", self._action)
        router.add_get("/api/assets/{asset_id}", self._asset)
        for path in _OWN_FILES:
            router.add_get(path, self._own_file)
        router.add_post("/api/pages", self._open)
        router.add_post("/playground/seat", self._take_seat)
        router.add_get("/playground/status", self._status)
        router.add_post("/playground/message", self._message)
        router.add_get("/playground/menu", self._menu)
        router.add_post("/playground/menu", self._use_menu)
        router.add_post("/playground/restart", self._restart)
        router.add_post("/playground/fault", self._switch_fault)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        self.site = web.TCPSite(self.runner, _HOST, self._requested_port)
        try:
            await self.site.start()
        except OSError as error:
            raise SetupError(f"Port {self._requested_port} is taken: choose another with --port.") from error
        self.port = self.runner.addresses[0][1]

    @property
    def link(self) -> str:
        """The address that opens the page: a secret."""
        key = self.preview.capability
        return f"http://{_HOST}:{self.port}/?key={key}#{key}"

    @property
    def _cookie(self) -> str:
        return f"playground_{self.port}"  # browsers share cookies among the ports of a host

    @property
    def _cookie_value(self) -> str:
        """The proof that the link was opened. It is not the key: browsers send it to other ports, too."""
        return hmac.digest(self.preview.capability.encode(), b"cookie", hashlib.sha256).hex()

    @web.middleware
    async def _check_key(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Serve nothing without the key, nor to another host name or for another site's page."""
        if request.headers.get("Host", "") not in self._allowed_hosts():
            raise web.HTTPForbidden(text=_CLOSED)
        origin = request.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self._allowed_hosts():
            raise web.HTTPForbidden(text=_CLOSED)
        in_link = "key" in request.query
        expected = self.preview.capability if in_link else self._cookie_value
        given = request.query["key"] if in_link else request.cookies.get(self._cookie, "")
        if not hmac.compare_digest(given.encode(errors="replace"), expected.encode()):
            raise web.HTTPForbidden(text=_CLOSED)
        try:
            response = await handler(request)
        except (SetupError, BackendError) as error:  # a page that is out of date
            raise web.HTTPBadRequest(text=f"This cannot be done here: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            # A request that no page sends, or a fault of this program, which the log shows.
            log.warning("page_request_failed", path=request.path, exc_info=True)
            raise web.HTTPBadRequest(text=f"This cannot be done here: {error}") from error
        if in_link:
            response.set_cookie(self._cookie, self._cookie_value, httponly=True, samesite="Strict")
        return response

    async def _index(self, request: web.Request) -> web.StreamResponse:
        response = await super()._index(request)
        response.text = response.text.replace("</head>", _HEAD).replace("SimCord Preview", "zimage-bot playground")
        return response

    async def _static(self, request: web.Request) -> web.StreamResponse:
        response = await super()._static(request)
        old, new = REPLACED.get(request.path.removeprefix("/"), ("", ""))
        if old:
            response.text = response.text.replace(old, new)
        return response

    async def _own_file(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(
            _STATIC / request.path.removeprefix("/"),
            headers={**self._SECURITY_HEADERS, "Content-Type": _OWN_FILES[request.path]},
        )

    async def _open(self, request: web.Request) -> web.StreamResponse:
        if not self._authorized(request):
            raise web.HTTPUnauthorized
        body = await _server._read_json_body(request)
        preview = self._playground.preview
        page = preview.open_seat(int(body["person"]), str(body["place"]), str(body.get("timezone", "")))
        return web.json_response(self.preview._page_payload(page), headers=self._SECURITY_HEADERS)

    async def _take_seat(self, request: web.Request) -> web.StreamResponse:
        context_id = self._context(request)
        body = await _server._read_json_body(request)
        await self._playground.preview.take_seat(context_id, int(body["person"]), str(body["place"]))
        return self._json({})

    async def _status(self, request: web.Request) -> web.StreamResponse:
        """Tell who and what there is, how the bot is, and to an open page what is new for its person."""
        playground = self._playground
        # Client.activity changes what it reads: the next session would begin without it.
        activity = playground.env.bot._connection._activity or {}
        newest = {}
        if "X-Simcord-Context" in request.headers:
            newest = playground.preview.newest_messages(self._context(request))
        people = [{"id": str(p.id), "name": p.name, "title": p.title} for p in playground.community.people]
        faults = [
            {"id": f.id, "title": f.title, "description": f.description, "active": f.id in playground.faults.active}
            for f in FAULTS.values()
        ]
        places = [
            {"key": p.key, "name": p.name, "direct": not p.channel, "channel": p.channel and str(p.channel.id)}
            for p in playground.community.places
        ]
        return self._json(
            {
                "people": people,
                "places": places,
                "bot": playground.bot_state,
                "failure": playground.failure,
                "faults": faults,
                "presence": activity.get("state"),
                "newest": newest,
            }
        )

    async def _message(self, request: web.Request) -> web.StreamResponse:
        """Post a message with files: a multipart form of content, reply_to and up to ten files."""
        context_id = self._context(request)
        content, reply_to = "", None
        files: list[tuple[str, bytes]] = []
        if request.content_type != "multipart/form-data":
            raise web.HTTPUnsupportedMediaType
        form: Any = await request.multipart()
        async for part in form:
            if part.name == "file":
                if len(files) == _MAX_FILES:
                    raise web.HTTPBadRequest(text="A message has at most 10 files.")
                files.append((part.filename or "file", await _read(part, _MAX_FILE_BYTES)))
            elif part.name == "content":
                content = (await _read(part, _MAX_TEXT * 4)).decode()
            elif part.name == "reply_to":
                reply_to = int(await _read(part, 32))
        await self._playground.preview.send(context_id, content, files, reply_to)
        return self._json({})

    async def _menu(self, request: web.Request) -> web.StreamResponse:
        kind = _MENUS[request.query["kind"]]
        return self._json({"commands": self._playground.preview.menu_commands(self._context(request), kind)})

    async def _use_menu(self, request: web.Request) -> web.StreamResponse:
        context_id = self._context(request)
        body = await _server._read_json_body(request)
        kind = _MENUS[body["kind"]]
        await self._playground.preview.use_menu(context_id, str(body["name"]), kind, int(body["target"]))
        return self._json({})

    async def _restart(self, request: web.Request) -> web.StreamResponse:
        self._context(request)
        await self._playground.restart_bot()
        return self._json({})

    async def _switch_fault(self, request: web.Request) -> web.StreamResponse:
        self._context(request)
        body = await _server._read_json_body(request)
        self._playground.faults.switch(str(body["id"]), bool(body["on"]))
        return self._json({})

    def _context(self, request: web.Request) -> str:
        context_id = request.headers.get("X-Simcord-Context")
        if context_id is None or not self._authorized(request, context=context_id):
            raise web.HTTPUnauthorized
        return context_id

    def _json(self, value: Any) -> web.Response:
        return web.json_response(value, headers=self._SECURITY_HEADERS)


async def _read(part: Any, limit: int) -> bytes:
    """Read a part of a form. Raises a 413 above ``limit`` bytes."""
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > limit:
            raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=len(data))
    return bytes(data)
