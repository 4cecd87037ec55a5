"""Request bodies read by the one reader for foreign JSON, before FastAPI's own (which is Python's) sees them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from prover.foreign_json import ForeignJsonError, Limits, read_json

# A prompt of 8,192 tokens is some 40 KB of text; JSON of a whole context in token ids stays below this.
LARGEST_BODY_BYTES = 2 * 1024 * 1024

_LIMITS = Limits(bytes=LARGEST_BODY_BYTES)


class _ForeignRequest(Request):
    async def json(self) -> Any:
        try:
            return read_json(await self.body(), what="the body", limits=_LIMITS)
        except ForeignJsonError as error:
            raise HTTPException(400, str(error)) from None


class ForeignBodyRoute(APIRoute):
    """A route whose JSON body is bounded in depth and numbers; refused with 400 (`problems` gives the shape)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            return await handle(_ForeignRequest(request.scope, request.receive))

        return bounded
