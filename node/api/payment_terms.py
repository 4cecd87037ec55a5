"""GET /v1/payment-terms, and the 402 of a request that is not paid for: the same terms."""

from __future__ import annotations

import asyncio
from typing import Any

from eth_utils.address import is_address, to_checksum_address
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ..errors import PaymentRefusedError
from ..payments.wire import TERMS_HEADER, pack
from ..service import AnswerService
from .problems import ApiProblem


def router(service: AnswerService) -> APIRouter:
    """The route over one service."""
    routes = APIRouter(prefix="/v1")

    @routes.get("/payment-terms")
    def payment_terms(request: Request, payer: str | None = None) -> JSONResponse:
        """What an answer costs; with `payer`, also what its next voucher must be over."""
        if service.till is None:
            return JSONResponse({"required": False, "accepts": []})
        if payer is not None and not is_address(payer):
            raise ApiProblem(400, "invalid_request", "payer: write 0x and 40 hex digits", param="payer")
        known = None if payer is None else to_checksum_address(payer)
        body = service.till.offer(known, request.url.path)
        return JSONResponse({"required": service.till.required} | body, headers={TERMS_HEADER: pack(body)})

    return routes


async def payment_problem(service: AnswerService, error: PaymentRefusedError, resource: str) -> ApiProblem:
    """402 with the terms, and with what is due from the payer if a valid voucher named it."""
    assert service.till is not None
    body: dict[str, Any] = await asyncio.to_thread(service.till.offer, error.payer, resource)
    headers = {TERMS_HEADER: pack(body)}
    return ApiProblem(402, error.code, str(error), param="X-Payment", headers=headers, beside=body)
