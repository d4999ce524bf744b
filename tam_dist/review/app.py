"""The web application: guard outside, then login, pictures, API, and Gradio's page at /."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from tam_dist.errors import StaleViewError, StorageError, TamDistError
from tam_dist.review.guard import Guard
from tam_dist.review.pane import Pane
from tam_dist.review.routes.acting import acting_routes
from tam_dist.review.routes.login import login_routes
from tam_dist.review.routes.looking import looking_routes
from tam_dist.review.routes.measuring import measuring_routes
from tam_dist.review.routes.media import media_routes
from tam_dist.review.routes.previewing import preview_routes
from tam_dist.review.routes.queue import queue_routes

STATIC = Path(str(resources.files("tam_dist.review").joinpath("static")))


def build_app(pane: Pane, *, page: bool = True) -> FastAPI:
    """``page`` False leaves Gradio out, whose import takes seconds, for whoever wants the API alone."""
    app = FastAPI(title="tam-dist review", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, sessions=pane.sessions)
    app.add_exception_handler(KeyError, _missing)
    app.add_exception_handler(ValueError, _senseless)
    app.add_exception_handler(TamDistError, _refused)
    app.mount("/pane", StaticFiles(directory=STATIC), name="pane")
    every = (login_routes, media_routes, looking_routes, preview_routes, acting_routes, queue_routes, measuring_routes)
    for routes in every:
        app.include_router(routes(pane))
    if page:
        from tam_dist.review.page import mount_page

        mount_page(app, pane)
    return app


def _missing(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"error": "There is nothing of that name here."}, 404)


def _senseless(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 400)


def _refused(_request: Request, error: Exception) -> JSONResponse:
    status = 409 if isinstance(error, StaleViewError) else 503 if isinstance(error, StorageError) else 400
    return JSONResponse({"error": str(error)}, status)
