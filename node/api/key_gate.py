"""Who may ask: API keys in front of the routes that cost work, checked before a byte of the body is read.

Without a key file everybody may, and a key that is sent says nothing. What a challenger needs (receipts, responses, batches) and
what an operator watches needs no key: `Records` and the explorer say themselves what they show to whom.

A page in a browser may ask only if its origin is one of `cors_origins`, or this provider's own: a browser sends a POST of plain text
without asking first, so that any page could make a provider on its reader's machine work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from ..api_keys import ApiKey, KeyRing
from ..errors import KeyLimitError
from ..metrics import Metrics
from .problems import ApiProblem, as_problem

_KEYED = ("/v1/chat/completions", "/v1/completions")
_MODELS = "/v1/models"


class KeyGate:
    """ASGI middleware: 401 for a missing or unknown key, 429 for one that asked too often; else the key is in the scope's state."""

    def __init__(self, app: Any, ring: KeyRing | None, metrics: Metrics) -> None:
        self._app, self._ring, self._metrics = app, ring, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._ring is not None and scope["type"] == "http" and _is_keyed(scope["path"]):
            try:
                key = self._known(self._ring, dict(scope["headers"]).get(b"authorization", b""))
                if scope["path"] in _KEYED:
                    self._take(key)
            except (ApiProblem, KeyLimitError) as error:
                problem = as_problem(error)
                await JSONResponse(problem.body(), problem.status, headers=problem.headers)(
                    scope, receive, send
                )
                return
            scope.setdefault("state", {})["api_key"] = key
        await self._app(scope, receive, send)

    def _known(self, ring: KeyRing, header: bytes) -> ApiKey:
        scheme, _, sent = header.decode("latin-1").partition(" ")
        key = ring.find(sent.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            self._metrics.key_refusals.labels("unknown").inc()
            raise ApiProblem(
                401, "invalid_api_key", "send a key of this provider: `Authorization: Bearer KEY`",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        return key

    def _take(self, key: ApiKey) -> None:
        try:
            key.take_request()
        except KeyLimitError:
            self._metrics.key_refusals.labels("limit").inc()
            raise


class OwnPages:
    """ASGI middleware: 403 for a POST from a page of another origin than `origins` and this provider's own."""

    def __init__(self, app: Any, origins: Sequence[str]) -> None:
        self._app, self._origins = app, frozenset(origins)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and "*" not in self._origins:
            headers = dict(scope["headers"])
            origin = headers.get(b"origin", b"").decode("latin-1")
            host = headers.get(b"host", b"").decode("latin-1")
            if origin and origin not in self._origins and _host(origin) != host.lower():
                problem = ApiProblem(
                    403, "origin_not_allowed",
                    "pages of other origins may not ask this provider; its operator names them in cors_origins",
                )  # fmt: skip
                await JSONResponse(problem.body(), 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_keyed(path: str) -> bool:
    return path in _KEYED or path == _MODELS or path.startswith(_MODELS + "/")


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
