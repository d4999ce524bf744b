"""One guard in front of everything: pages, pictures, API, and all that Gradio serves."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tam_dist.review.sessions import COOKIE, Sessions

#: Of a request's body, bytes: a mask of an 8K picture as PNG is smaller.
LARGEST_BODY = 16 << 20
#: What may be asked for without a login.
_OPEN = frozenset({"/login", "/metrics", "/pane/login.css", "/pane/theme.css"})
#: What Gradio offers and the pane has no use for: files of this machine, uploads, requests to elsewhere.
_CLOSED = ("/gradio_api/file", "/gradio_api/upload", "/gradio_api/proxy", "/gradio_api/stream", "/gradio_api/component_server")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

#: Gradio compiles its components' templates in the page, hence the unsafe ones; nothing of another host is ever loaded.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class BodyTooLargeError(Exception):
    """More than :data:`LARGEST_BODY` came in."""


class Guard:
    """ASGI middleware. The author that a request is let in as lies in ``scope["author"]``."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if scope["type"] != "http":  # the pane has no other kind of connection
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = _with_headers(send)
        if refusal is not None:
            await refusal(scope, receive, guarded)
            return
        try:
            await self._app(scope, _limited(receive), guarded)
        except BodyTooLargeError:
            await _too_large()(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path = scope["path"]
        if not self._sessions.needs_login and _host(headers.get("host", "")) not in _LOOPBACK:
            # Another site's name that leads here: its pages would be let in as ours.
            return _no(403, "This pane answers to localhost alone: give it a password to serve it under other names.")
        if scope.get("method") not in ("GET", "HEAD", "OPTIONS") and not _same_site(headers):
            return _no(403, "This request comes from another site.")
        if int(headers.get("content-length") or 0) > LARGEST_BODY:
            return _too_large()
        author = self._sessions.author_of(_cookie(headers))
        if author is None and path not in _OPEN:
            if scope.get("method") == "GET" and "text/html" in headers.get("accept", ""):
                return RedirectResponse("/login", 303)
            return _no(401, "Log in first.")
        if path.startswith(_CLOSED):
            return _no(404, "There is nothing here.")
        scope["author"] = author
        return None


def _no(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)


def _too_large() -> JSONResponse:
    return _no(413, f"The request is larger than {LARGEST_BODY >> 20} MB.")


def _host(header: str) -> str:
    """
    >>> _host("localhost:7860"), _host("[::1]:7860")
    ('localhost', '::1')
    """
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _same_site(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == headers.get("host")
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def _cookie(headers: Headers) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending


def _limited(receive: Receive) -> Receive:
    """A body without a stated length ends at the same limit."""
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LARGEST_BODY:
            raise BodyTooLargeError
        return message

    return receiving
