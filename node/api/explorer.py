"""GET /: the settlement explorer, one page without a build step; GET /v1/settlement: what it draws."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

_PAGE = Path(__file__).with_name("explorer.html")
# The page may load nothing but itself and talk to nobody but this node.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"


def router(snapshot: Callable[[], dict[str, Any]]) -> APIRouter:
    """`snapshot` gives the settlement's state as JSON values."""
    routes = APIRouter()
    page = _PAGE.read_text(encoding="utf-8")

    @routes.get("/", response_class=HTMLResponse, include_in_schema=False)
    def explorer() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    @routes.get("/v1/settlement")
    def settlement(request: Request) -> Response:
        body = json.dumps(snapshot(), separators=(",", ":")).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    return routes
