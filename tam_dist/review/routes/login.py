"""Logging in and out."""

from __future__ import annotations

import html
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from tam_dist.errors import PromptError
from tam_dist.review.pane import Pane
from tam_dist.review.sessions import COOKIE, LIFETIME, TooManyTriesError

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>tam-dist review</title><link rel="stylesheet" href="/pane/theme.css">
<link rel="stylesheet" href="/pane/login.css"></head>
<body class="td"><main><h1>tam-dist <span>review</span></h1>
<form method="post" action="/login">
<label>Your name <input name="name" autocomplete="username" required maxlength="100" autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<p role="alert">@@</p><button>Log in</button></form></main></body></html>"""
#: Of a form with a name and a password, bytes.
_LARGEST_FORM = 10_000


def login_routes(pane: Pane) -> APIRouter:
    router = APIRouter()

    @router.get("/login")
    def form() -> Response:
        return _form("") if pane.sessions.needs_login else RedirectResponse("/", 303)

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        body = await request.body()
        if not pane.sessions.needs_login:
            return RedirectResponse("/", 303)
        if len(body) > _LARGEST_FORM:
            return _form("That is too long.", 413)
        fields = parse_qs(body.decode(errors="replace"))
        name, password = (fields.get(key, [""])[0] for key in ("name", "password"))
        address = request.client.host if request.client else ""
        try:
            cookie = pane.sessions.log_in(name, password, address)
        except TooManyTriesError as error:
            response = _form(str(error), 429)
            response.headers["Retry-After"] = f"{error.seconds:.0f}"
            return response
        except PromptError as error:
            return _form(str(error), 400)
        if cookie is None:
            return _form("That is not the password.", 401)
        answer = RedirectResponse("/", 303)
        secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
        answer.set_cookie(COOKIE, cookie, max_age=LIFETIME, httponly=True, samesite="strict", secure=secure)
        return answer

    @router.post("/logout")
    def log_out() -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    return router


def _form(error: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(_PAGE.replace("@@", html.escape(error)), status)
