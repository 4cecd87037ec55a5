"""GET /v1/receipts, /v1/responses, /v1/batches: what a client keeps and what a challenger re-runs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ..records import Records
from .problems import ApiProblem


def router(records: Records) -> APIRouter:
    """The routes over one node's records."""
    routes = APIRouter(prefix="/v1")

    def found(entry: dict[str, Any] | None, kind: str, key: str) -> dict[str, Any]:
        if entry is None:
            raise ApiProblem(
                404, f"{kind}_not_found", f"this provider has no {kind} {key[:80]!r}", param="id"
            )
        return entry

    @routes.get("/receipts/{key}")
    def receipt(key: str) -> dict[str, Any]:
        return found(records.receipt(key), "receipt", key)

    @routes.get("/responses/{key}")
    def response(key: str) -> dict[str, Any]:
        return found(records.response(key), "response", key)

    @routes.get("/batches/{key}")
    def batch(key: str) -> dict[str, Any]:
        return found(records.batch(key), "batch", key)

    return routes
