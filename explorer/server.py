"""The explorer as a program of its own: an application over one index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI

from . import site
from .index import Index
from .keeper import Keeper
from .pages import Pages
from .search import Resolver, Search
from .stories import StepName


@dataclass(frozen=True)
class Explorer:
    """Everything behind the pages of one deployment."""

    keeper: Keeper
    pages: Pages
    search: Search
    about: Mapping[str, Any]

    @classmethod
    def over(
        cls,
        index: Index,
        interval_s: float,
        *,
        idle_s: float | None = None,
        model_names: Mapping[bytes, str] | None = None,
        step_names: Mapping[bytes, StepName] | None = None,
        resolvers: Sequence[Resolver] = (),
        about: Mapping[str, Any] | None = None,
    ) -> Explorer:
        """`idle_s`: read on only for so long after somebody last looked; None: always. `about`: what the serving
        program says of itself."""
        return cls(
            Keeper(index, interval_s, idle_s=idle_s),
            Pages(index, model_names=model_names, step_names=step_names),
            Search(index, resolvers),
            dict(about or {}),
        )

    def facts(self) -> APIRouter:
        """What the pages draw; `site.files()` are the pages."""
        return site.facts(self.pages, self.search, self.keeper, self.about)


def create_application(explorer: Explorer) -> FastAPI:
    """Serves the pages, and follows the chain for as long as it runs."""

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        explorer.keeper.start()
        try:
            yield
        finally:
            explorer.keeper.stop()

    app = FastAPI(title="Gainsay explorer", lifespan=running, docs_url=None, redoc_url=None)
    app.include_router(site.files())
    app.include_router(explorer.facts())

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    return app
