"""Every refusal of the API, in the shape that OpenAI clients expect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from contracts.protocol.token_ids import InvalidTokenIds
from prover.errors import ChainError
from prover.model.errors import ChatTemplateError, SequenceTooLongError, TokenError, TokenizerError
from prover.program import OutOfRange
from prover.sampling import SamplingError

from ..errors import DatabaseError, KeyLimitError, NotReadyError, QueueFullError

log = structlog.get_logger("node.api")


class ApiProblem(Exception):
    """A request that is refused: HTTP status, machine-readable code, the field at fault, one sentence."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        details: dict[str, Any] | None = None,
        beside: dict[str, Any] | None = None,
    ) -> None:
        """`details` stand in the error, `beside` stands beside it."""
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.param, self.headers, self.details = param, headers, details
        self.beside = beside

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 and self.status != 429 else "server_error"
        if self.status == 402:
            kind = "payment_error"
        if self.status == 429:
            kind = "rate_limit_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error | (self.details or {})} | (self.beside or {})


def as_problem(error: BaseException) -> ApiProblem:
    """The refusal that an error of the model, the queue or the node means for the caller."""
    match error:
        case ApiProblem():
            return error
        case OutOfRange():
            where = {"tensor": error.tensor, "layer": error.layer, "position": error.position}
            details = where if error.is_told else None
            message = f"this text cannot be answered provably by this model: {error}; shorten or rephrase it"
            return ApiProblem(422, "out_of_range", message, details=details)
        case SequenceTooLongError():
            # Clients recognise a prompt that is too long by these words and this status.
            # The last token of an answer is never fed, so one more than the positions fits.
            message = (
                f"This model's maximum context length is {error.max_positions + 1} tokens. However, you requested "
                f"{error.length + 1} tokens (context_length_exceeded). Please reduce the length of the messages or completion."
            )
            return ApiProblem(400, "context_length_exceeded", message)
        case ChatTemplateError():
            return ApiProblem(400, "invalid_messages", str(error), param="messages")
        case TokenizerError() | TokenError() | InvalidTokenIds():
            return ApiProblem(400, "invalid_prompt", str(error), param="prompt")
        case SamplingError():
            return ApiProblem(400, "unsupported_value", str(error), param="temperature")
        case QueueFullError():
            retry = {"Retry-After": str(error.retry_after_s)}
            return ApiProblem(429, "queue_full", str(error), headers=retry)
        case KeyLimitError(retry_after_s=None):
            return ApiProblem(400, "request_too_large", str(error))
        case KeyLimitError():
            retry = {"Retry-After": str(error.retry_after_s)}
            return ApiProblem(429, "rate_limit_exceeded", str(error), headers=retry)
        case NotReadyError():
            return ApiProblem(503, "not_ready", str(error), headers={"Retry-After": "5"})
        case ChainError() | DatabaseError():
            log.error("outage", error=str(error))
            message = f"the provider is not ready: {str(error).rstrip('.')}"
            return ApiProblem(503, "not_ready", message, headers={"Retry-After": "5"})
        case _:
            log.error("unexpected error", exc_info=error)
            return ApiProblem(500, "internal_error", "the provider failed; its log says why")


def install(app: FastAPI) -> None:
    """Answer every error of the app in the OpenAI shape."""

    async def refuse(_request: Request, error: Exception) -> JSONResponse:
        problem = as_problem(error)
        return JSONResponse(problem.body(), problem.status, headers=problem.headers)

    async def malformed(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = max(error.errors(), key=lambda found: len(_real_path(found["loc"], error.body)))
        param = ".".join(_real_path(first["loc"], error.body)) or None
        if first["type"] == "extra_forbidden":
            message = f"this provider does not know the field {param!r}; leave it out"
        else:
            message = f"{param or 'the body'}: {first['msg']}"
        problem = ApiProblem(400, "invalid_request", message, param=param)
        return JSONResponse(problem.body(), 400)

    async def http(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed"}.get(
            error.status_code, "http_error"
        )
        problem = ApiProblem(error.status_code, code, str(error.detail))
        return JSONResponse(problem.body(), error.status_code, headers=dict(error.headers or {}))

    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, http)
    for kind in (
        ApiProblem, OutOfRange, SequenceTooLongError, TokenizerError, TokenError, InvalidTokenIds,
        SamplingError, QueueFullError, KeyLimitError, NotReadyError, ChainError, DatabaseError, Exception,
    ):  # fmt: skip
        app.add_exception_handler(kind, refuse)


def _real_path(location: Sequence[str | int], body: object) -> list[str]:
    """The part of a location that exists in the body: what names a union's alternative is no field of anybody's."""
    path: list[str] = []
    for part in location[1:]:  # the first is "body"
        if isinstance(body, dict) and isinstance(part, str) and (part in body or part == location[-1]):
            body = body.get(part)
        elif isinstance(body, list) and isinstance(part, int) and part < len(body):
            body = body[part]
        else:
            continue
        path.append(str(part))
    return path


class JsonBodies:
    """ASGI middleware: every body of the API is JSON, whatever content type the caller names (curl names that of a form)."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            others = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
            scope = scope | {"headers": [*others, (b"content-type", b"application/json")]}
        await self._app(scope, receive, send)


class BodyLimit:
    """ASGI middleware: reads the body before the application does; 413 as soon as it exceeds `limit` bytes."""

    def __init__(self, app: Any, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        messages: list[Any] = []
        size = int(declared) if declared.isdigit() else 0
        if size <= self._limit:
            size = 0
            while size <= self._limit:
                messages.append(message := await receive())
                size += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    break
        if size > self._limit:
            problem = ApiProblem(
                413, "body_too_long", f"the body is longer than {self._limit} bytes; send less"
            )
            await JSONResponse(problem.body(), 413)(scope, receive, send)
            return
        messages.reverse()

        async def replayed() -> Any:
            return messages.pop() if messages else await receive()

        await self._app(scope, replayed, send)
