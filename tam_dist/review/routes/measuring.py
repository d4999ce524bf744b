"""What Prometheus asks for."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from tam_dist.review.pane import Pane


def measuring_routes(pane: Pane) -> APIRouter:
    router = APIRouter()

    @router.get("/metrics")
    def metrics() -> Response:
        """Of the review queue, as :mod:`tam_dist.review.metrics` lists them."""
        return Response(pane.metrics.text(pane.claims.pages()), media_type=CONTENT_TYPE_LATEST)

    return router
