"""The pages' files and the JSON that they draw, as FastAPI routes: `/`, `/explorer/…`, `/v1/explorer/…`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from eth_utils.address import is_address, to_checksum_address
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from prover.errors import NotFoundError

from .keeper import Keeper
from .pages import PAGE, Pages
from .search import Search

_STATIC = Path(__file__).with_name("static")
_KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8"}
_KINDS |= {".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
# A page loads its own files and talks to its own server, and nobody puts it into a frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

Before = Annotated[int | None, Query(ge=0, le=2**53)]
Limit = Annotated[int, Query(ge=1, le=200)]


def tagged(request: Request, body: bytes, media_type: str, headers: dict[str, str] | None = None) -> Response:
    """A body with its ETag, or 304 for whoever has it."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    with_tag = {"Cache-Control": "no-cache", **(headers or {}), "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=with_tag)
    return Response(body, media_type=media_type, headers=with_tag)


def files() -> APIRouter:
    """The pages themselves. They are few and small, so they are kept in memory."""
    routes = APIRouter(include_in_schema=False)
    held = {
        path.relative_to(_STATIC).as_posix(): (path.read_bytes(), _KINDS[path.suffix])
        for path in sorted(_STATIC.rglob("*"))
        if path.suffix in _KINDS
    }

    @routes.get("/")
    def page(request: Request) -> Response:
        return tagged(request, *held["index.html"], _HEADERS)

    @routes.get("/explorer/{name:path}")
    def file(name: str, request: Request) -> Response:
        if name not in held:
            return Response(status_code=404, headers=_HEADERS)
        return tagged(request, *held[name], _HEADERS)

    return routes


def facts(pages: Pages, search: Search, keeper: Keeper, about: Mapping[str, Any]) -> APIRouter:
    """What the pages draw. `about`: what the program that serves them says of itself."""
    routes = APIRouter(prefix="/v1/explorer")

    def answer(request: Request, look: Callable[[], Any]) -> Response:
        keeper.asked()
        try:
            body = look()
        except NotFoundError as error:
            problem = {"message": str(error), "type": "invalid_request_error", "param": None}
            return JSONResponse({"error": problem | {"code": "not_found"}}, 404)
        return tagged(request, json.dumps(body, separators=(",", ":")).encode(), "application/json")

    @routes.get("")
    def overview(request: Request) -> Response:
        def look() -> dict[str, Any]:
            sync = {"caught_up": keeper.is_caught_up, "problem": keeper.problem}
            newest = {"games": pages.games(limit=5)["games"], "batches": pages.batches(limit=8)["batches"]}
            return pages.overview() | {"sync": sync, "served_by": dict(about)} | newest

        return answer(request, look)

    @routes.get("/batches")
    def batches(
        request: Request,
        before: Before = None,
        limit: Limit = PAGE,
        provider: str | None = None,
        model: str | None = None,
    ) -> Response:
        who = _address(provider)
        return answer(request, lambda: pages.batches(before=before, limit=limit, provider=who, model=model))

    @routes.get("/batches/{batch_id}")
    def batch(
        request: Request, batch_id: int, first: Annotated[int, Query(ge=0)] = 0, limit: Limit = PAGE
    ) -> Response:
        return answer(request, lambda: pages.batch(batch_id, first=first, limit=limit))

    @routes.get("/responses")
    def responses(
        request: Request,
        before: Before = None,
        limit: Limit = PAGE,
        provider: str | None = None,
        model: str | None = None,
    ) -> Response:
        who = _address(provider)
        return answer(request, lambda: pages.responses(before=before, limit=limit, provider=who, model=model))

    @routes.get("/responses/{batch_id}/{index}")
    def response(request: Request, batch_id: int, index: int) -> Response:
        return answer(request, lambda: pages.response(batch_id, index))

    @routes.get("/games")
    def games(
        request: Request,
        before: Before = None,
        limit: Limit = PAGE,
        account: str | None = None,
        open: bool = False,
    ) -> Response:
        who = _address(account)
        return answer(request, lambda: pages.games(before=before, limit=limit, account=who, open_only=open))

    @routes.get("/games/{game_id}")
    def game(request: Request, game_id: int) -> Response:
        return answer(request, lambda: pages.game(game_id))

    @routes.get("/audits")
    def audits(request: Request, before: Before = None, limit: Limit = PAGE) -> Response:
        return answer(request, lambda: pages.audits(before=before, limit=limit))

    @routes.get("/models")
    def models(request: Request) -> Response:
        return answer(request, pages.models)

    @routes.get("/models/{model_id}")
    def model(request: Request, model_id: str) -> Response:
        return answer(request, lambda: pages.model(model_id))

    @routes.get("/accounts")
    def accounts(request: Request) -> Response:
        return answer(request, pages.accounts)

    @routes.get("/accounts/{address}")
    def account(request: Request, address: str) -> Response:
        def look() -> dict[str, Any]:
            if not is_address(address):
                raise NotFoundError(f"{address[:80]!r} is no address; give 0x and 40 hexadecimal digits")
            return pages.account(to_checksum_address(address))

        return answer(request, look)

    @routes.get("/search")
    def find(request: Request, q: Annotated[str, Query(max_length=300)] = "") -> Response:
        return answer(request, lambda: {"hits": search.find(q)})

    return routes


def _address(text: str | None) -> str | None:
    """Checksummed. None for none; what is no address is nobody's."""
    if text is None or not is_address(text):
        return text
    return str(to_checksum_address(text))
