"""POST /v1/chat/completions, POST /v1/completions, GET /v1/models: what OpenAI clients speak."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from contracts.protocol.sampling import describe_sampling

from ..errors import AnswerGivenUpError, PaymentRefusedError
from ..inference import Job
from ..payments.till import Payment
from ..payments.wire import PAYMENT_HEADER, TAKEN_HEADER, pack
from ..service import AnswerService, Finished
from .clients import client_of
from .conversation import conversation
from .foreign_body import ForeignBodyRoute
from .payment_terms import payment_problem
from .problems import ApiProblem, as_problem
from .prompt_reading import PromptReader
from .requests import ChatRequest, TextRequest

RECEIPT_HEADER = "x-gainsay-receipt"
RECEIPT_FIELD = "x_gainsay_receipt"  # in the last stream chunk: an attribute name in every client
SAMPLING_HEADER = "x-gainsay-sampling"  # the rule with its effective seed; a greedy answer has none
SAMPLING_FIELD = "x_gainsay_sampling"

_DISCONNECT_POLL_S = 0.25


@dataclass(frozen=True)
class _Kind:
    """What differs between the two endpoints: names, and where the text goes."""

    prefix: str
    whole: str
    chunk: str
    chat: bool

    def choice(self, text: str, finish_reason: str) -> dict[str, Any]:
        content = {"message": {"role": "assistant", "content": text, "refusal": None}}
        if not self.chat:
            content = {"text": text}  # type: ignore[dict-item]
        return {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}

    def delta(self, text: str | None, *, first: bool = False, finish: str | None = None) -> dict[str, Any]:
        delta: dict[str, Any] = {"role": "assistant"} if first and self.chat else {}
        if text is not None:
            delta["content"] = text
        content: dict[str, Any] = {"delta": delta} if self.chat else {"text": text or ""}
        return {"index": 0, **content, "logprobs": None, "finish_reason": finish}


CHAT = _Kind("chatcmpl-", "chat.completion", "chat.completion.chunk", chat=True)
TEXT = _Kind("cmpl-", "text_completion", "text_completion", chat=False)


def router(service: AnswerService, prompts: PromptReader) -> APIRouter:
    """The routes over one service."""
    routes = APIRouter(prefix="/v1", route_class=ForeignBodyRoute)
    served = service.served

    @routes.head("/models", include_in_schema=False)
    @routes.get("/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model_card(service)]}

    @routes.head("/models/{name:path}", include_in_schema=False)
    @routes.get("/models/{name:path}")
    def model(name: str) -> dict[str, Any]:
        _require_model(service, name)
        return _model_card(service)

    @routes.post("/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        _require_model(service, body.model)
        limit = body.limit
        messages = conversation(body.messages, served.tokenizer.specification.chat_template)
        prompt = await prompts.chat(messages, len(await request.body()))
        return await _answer(service, CHAT, body, prompt, limit, request)

    @routes.post("/completions")
    async def text(body: TextRequest, request: Request) -> Response:
        _require_model(service, body.model)
        given = body.single_prompt
        prompt = await prompts.text(given, len(await request.body())) if isinstance(given, str) else given
        return await _answer(service, TEXT, body, prompt, body.limit, request)

    return routes


def _model_card(service: AnswerService) -> dict[str, Any]:
    served = service.served
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "gainsay",
        "gainsay_model_id": "0x" + served.model_id.hex(),
        "max_positions": served.max_positions,
    }


def _require_model(service: AnswerService, name: str) -> None:
    if name != service.served.name:
        message = f"this provider serves {service.served.name!r}, not {name!r}"
        raise ApiProblem(404, "model_not_found", message, param="model")


async def _answer(
    service: AnswerService,
    kind: _Kind,
    body: ChatRequest | TextRequest,
    prompt: list[int],
    limit: int | None,
    request: Request,
) -> Response:
    if not prompt:
        raise ApiProblem(
            400, "invalid_prompt", "the prompt is empty; send at least one token", param="prompt"
        )
    vocabulary = len(service.served.tokenizer)
    if (bad := next((token for token in prompt if token >= vocabulary), None)) is not None:
        message = f"token id {bad} is outside the vocabulary of {vocabulary}"
        raise ApiProblem(400, "invalid_prompt", message, param="prompt")
    max_tokens = service.served.token_budget(len(prompt), limit, service.default_max_tokens)
    answer_id = kind.prefix + uuid.uuid4().hex[:24]
    # Before anything of the prompt is run: a seed that is drawn here cannot depend on what it gives.
    sampling = body.sampling
    async with _paid(service, request) as payment:
        job = await service.submit(prompt, max_tokens, sampling, client_of(request, payment))
        taken = {} if payment is None else {TAKEN_HEADER: _taken(service, payment)}
        if sampling is not None:
            taken[SAMPLING_HEADER] = describe_sampling(sampling)
        if body.wants_stream:
            stream = _stream(service, kind, job, answer_id, body.wants_usage, payment)
            # The first event comes before the status line, so a prompt that cannot be run is a real 422.
            first = await _until_gone(anext(stream), job, request)
            return StreamingResponse(
                _chain(first, stream), media_type="text/event-stream", headers=_NO_CACHE | taken
            )
        finished = await _until_gone(_whole(service, job, answer_id, payment), job, request)
    content = {
        "id": answer_id,
        "object": kind.whole,
        "created": int(time.time()),
        "model": service.served.name,
        "choices": [kind.choice(_text(service, finished), finished.finish_reason)],
        "usage": _usage(job, finished),
        "system_fingerprint": "0x" + service.served.model_id.hex(),
    }
    return JSONResponse(content, headers={RECEIPT_HEADER: finished.receipt.receipt_id} | taken)


@asynccontextmanager
async def _paid(service: AnswerService, request: Request) -> AsyncIterator[Payment | None]:
    """The request's payment; it goes back when no answer comes of it. Raises ApiProblem (402) with the terms."""
    try:
        async with service.paid(request.headers.getlist(PAYMENT_HEADER)) as payment:
            yield payment
    except PaymentRefusedError as error:
        raise await payment_problem(service, error, request.url.path) from error


def _taken(service: AnswerService, payment: Payment) -> str:
    """x402's word about a payment; it is settled on chain later, in bulk."""
    assert service.till is not None
    network = service.till.terms.network
    amount = str(payment.amount)
    return pack(
        {"success": True, "network": network, "payer": payment.payer, "transaction": "", "amount": amount}
    )


_NO_CACHE = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def _whole(service: AnswerService, job: Job, answer_id: str, payment: Payment | None) -> Finished:
    async for _ in service.tokens(job):
        pass
    return await service.commit(job, answer_id, payment)


async def _until_gone(work: Any, job: Job, request: Request) -> Any:
    """Await `work`, but give up and cancel the job when the caller closes the connection."""
    task = asyncio.ensure_future(work)
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=_DISCONNECT_POLL_S)
            if done:
                return task.result()
            if await request.is_disconnected():
                raise ApiProblem(499, "client_closed_request", "the caller closed the connection")
    finally:
        if not task.done():
            job.cancel()
            task.cancel()


async def _stream(
    service: AnswerService,
    kind: _Kind,
    job: Job,
    answer_id: str,
    wants_usage: bool,
    payment: Payment | None,
) -> AsyncIterator[str]:
    """Server-sent events of one answer; the receipt is in the last chunk.

    Once text is out, the payment goes back only if this node fails: who reads an answer and leaves before its end paid
    for what it read.
    """
    created = int(time.time())

    def event(choices: list[dict[str, Any]], **extra: Any) -> str:
        chunk = {
            "id": answer_id,
            "object": kind.chunk,
            "created": created,
            "model": service.served.name,
            "choices": choices,
            "system_fingerprint": "0x" + service.served.model_id.hex(),
        }
        if wants_usage:
            chunk["usage"] = None
        return f"data: {json.dumps(chunk | extra, ensure_ascii=False)}\n\n"

    decoder, begun = service.served.tokenizer.stream(continuation=True), False
    try:
        async for token in service.tokens(job):
            if (text := decoder.push(token)) or not begun:
                first, begun = not begun, True
                yield event([kind.delta(text, first=first)])
        finished = await service.commit(job, answer_id, payment)
    except Exception as error:
        if not begun:
            raise
        if payment is not None:
            is_callers = isinstance(error, AnswerGivenUpError)
            await asyncio.to_thread(payment.keep if is_callers else payment.give_back)
        yield f"data: {json.dumps(as_problem(error).body())}\n\n"
        return
    except BaseException:  # the caller left
        if begun and payment is not None:
            asyncio.get_running_loop().run_in_executor(None, payment.keep)
        raise
    finally:
        job.cancel()
    if rest := decoder.flush():
        yield event([kind.delta(rest)])
    receipt = {RECEIPT_FIELD: finished.receipt.receipt_id}
    if job.sampling is not None:
        receipt[SAMPLING_FIELD] = describe_sampling(job.sampling)
    yield event([kind.delta(None, finish=finished.finish_reason)], **receipt)
    if wants_usage:
        yield event([], usage=_usage(job, finished), **receipt)
    yield "data: [DONE]\n\n"


async def _chain(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    try:
        yield first
        async for event in rest:
            yield event
    finally:
        await rest.aclose()  # type: ignore[attr-defined]  # an async generator: cancels its job at once


def _text(service: AnswerService, finished: Finished) -> str:
    return service.served.tokenizer.decode(finished.output_ids, continuation=True)


def _usage(job: Job, finished: Finished) -> dict[str, int]:
    prompt, output = len(job.prompt), len(finished.output_ids)
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
