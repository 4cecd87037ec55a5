"""The FastAPI application of one node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from explorer import site
from explorer.server import Explorer

from ..api_keys import KeyRing
from ..audits.desk import AuditDesk
from ..payments.wire import TAKEN_HEADER, TERMS_HEADER
from ..records import Records
from ..service import AnswerService
from ..texts import Texts
from . import audits, completions, operations, payment_terms, problems, records, settlement
from .foreign_body import LARGEST_BODY_BYTES
from .key_gate import KeyGate, OwnPages
from .prompt_reading import PromptReader

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_application(
    service: AnswerService,
    stored: Records,
    snapshot: Callable[[str | None], dict[str, Any]],
    texts: Texts,
    desk: AuditDesk | None = None,
    *,
    explorer: Explorer | None = None,
    lifespan: Lifespan | None = None,
    cors_origins: Sequence[str] = (),
    keys: KeyRing | None = None,
) -> FastAPI:
    """All routes over one service. The queue runs for as long as the application does. Pages from `cors_origins` may
    call it from a browser; with `keys` only their holders get answers. `explorer`: what the pages at / draw beside this
    node's own answers."""

    prompts = PromptReader(service.served.tokenizer)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        service.queue.start()
        try:
            if lifespan is None:
                yield
            else:
                async with lifespan(app):
                    yield
        finally:
            service.queue.close()
            prompts.close()

    app = FastAPI(
        title="Gainsay provider",
        description="OpenAI-compatible completions whose answers anyone can dispute.",
        lifespan=running,
        docs_url=None,  # the interactive pages load scripts from elsewhere
        redoc_url=None,
    )
    problems.install(app)

    app.add_middleware(operations.CountRequests, metrics=service.metrics)
    app.add_middleware(problems.BodyLimit, limit=LARGEST_BODY_BYTES)
    app.add_middleware(problems.JsonBodies)
    app.add_middleware(KeyGate, ring=keys, metrics=service.metrics)
    app.add_middleware(OwnPages, origins=cors_origins)
    if cors_origins:
        # Outermost, so that a refusal carries its headers too. No cookies: what a page may do here, anybody may do.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],
            expose_headers=[
                completions.RECEIPT_HEADER,
                completions.SAMPLING_HEADER,
                completions.AUDIT_KEY_HEADER,
                "Retry-After",
                TERMS_HEADER,
                TAKEN_HEADER,
            ],
        )
    app.include_router(completions.router(service, prompts))
    app.include_router(payment_terms.router(service))
    app.include_router(records.router(stored))
    if desk is not None:
        app.include_router(audits.router(desk))
    app.include_router(operations.router(service.readiness, service.metrics))
    app.include_router(settlement.router(snapshot, texts))
    app.include_router(site.files())
    if explorer is not None:
        app.include_router(explorer.facts())
    return app
