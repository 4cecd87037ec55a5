"""GET /v1/settlement: what this node knows of its own answers; GET /v1/texts: prompt and answer, for who may see them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from explorer.site import tagged

from ..texts import Texts
from .problems import ApiProblem

#: What shows that somebody may read: an answer's own id, or the operator's key.
Authorization = Annotated[str | None, Header()]


def router(snapshot: Callable[[str | None], dict[str, Any]], texts: Texts) -> APIRouter:
    """`snapshot` gives the settlement's state as JSON values, with the texts that its argument opens."""
    routes = APIRouter(prefix="/v1")

    @routes.get("/settlement")
    def settlement(request: Request, authorization: Authorization = None) -> Response:
        body = json.dumps(snapshot(_token(authorization)), separators=(",", ":")).encode()
        return tagged(request, body, "application/json", {"Vary": "Authorization"})

    @routes.get("/texts/{batch_id}/{index}")
    def text(batch_id: int, index: int, request: Request, authorization: Authorization = None) -> Response:
        found = None
        if 0 < batch_id < 2**63 and 0 <= index < 2**63:
            found = texts.at(batch_id, index, _token(authorization))
        if found is None:
            raise ApiProblem(
                403, "not_yours",
                "prompt and answer are shown to who sends the answer's own id (chatcmpl-… or cmpl-…), or the operator's key, as "
                "`Authorization: Bearer …`; a receipt's id is public and opens nothing",
            )  # fmt: skip
        body = json.dumps(found, separators=(",", ":")).encode()
        return tagged(
            request, body, "application/json", {"Vary": "Authorization", "Cache-Control": "no-store"}
        )

    return routes


def _token(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
