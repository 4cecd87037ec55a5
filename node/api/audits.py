"""POST /v1/audits, GET /v1/audits/{id}: steps of an own answer that a provider of a private model must prove."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from contracts.protocol.audit_wire import items_from_json
from prover.errors import BadInputError

from ..audits.desk import AuditDesk
from ..errors import AuditRefusedError, UnknownReceiptError
from ..store.audit_book import AuditRow
from .problems import ApiProblem

_STATUS = {"public": 400, "too_many": 400, "wrong_key": 403, "too_late": 409, "twice": 409}


class AuditRequest(BaseModel):
    """receipt: its id, which everybody can read once the batch is sealed. key: what came with the answer. items: what to prove."""

    model_config = ConfigDict(extra="forbid")

    receipt: Annotated[str, Field(max_length=100)]
    key: Annotated[str, Field(max_length=100)] = ""
    items: list[Any]


def router(desk: AuditDesk) -> APIRouter:
    """The routes over one node's audits."""
    routes = APIRouter(prefix="/v1")

    @routes.post("/audits", status_code=202)
    async def ask(body: AuditRequest) -> dict[str, Any]:
        try:
            items = items_from_json(body.items)
            return shown(await asyncio.to_thread(desk.ask, body.receipt, body.key, items))
        except UnknownReceiptError as error:
            raise ApiProblem(404, "receipt_not_found", str(error), param="receipt") from error
        except AuditRefusedError as error:
            raise ApiProblem(
                _STATUS[error.code],
                f"audit_{error.code}",
                str(error),
                param="key" if error.code == "wrong_key" else "receipt",
            ) from error
        except BadInputError as error:
            raise ApiProblem(400, "invalid_items", str(error), param="items") from error

    @routes.get("/audits/{key}")
    def audit(key: str) -> dict[str, Any]:
        if (row := desk.find(key)) is None:
            raise ApiProblem(404, "audit_not_found", f"this provider has no audit {key[:80]!r}", param="id")
        return shown(row)

    def shown(row: AuditRow) -> dict[str, Any]:
        items = json.loads(row.items)
        return {
            "audit_id": row.id,
            "state": row.state,
            "items": items,
            "done": len(items) if row.evidence is not None else row.done,
            "asked_at": row.asked_at,
            "failure": row.failure,
            "evidence": None if row.evidence is None else json.loads(row.evidence),
        }

    return routes
