"""GET /healthz, /readyz, /metrics: what keeps the node running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ..metrics import Metrics


def router(readiness: Callable[[], str | None], metrics: Metrics) -> APIRouter:
    """`readiness` gives the reason why the node cannot answer now, or None."""
    routes = APIRouter()

    @routes.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/readyz")
    def readyz() -> JSONResponse:
        reason = readiness()
        if reason is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": reason}, 503, headers={"Retry-After": "5"})

    @routes.get("/metrics")
    def figures() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return routes


class CountRequests:
    """ASGI middleware: counts finished requests by route and status."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def watched(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._metrics.request(getattr(scope.get("route"), "path", "unknown"), status)
