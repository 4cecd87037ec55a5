"""POST /v1/chat/completions, POST /v1/completions, GET /v1/models: what OpenAI clients speak."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from contracts.protocol.sampling import describe_sampling

from ..api_keys import ApiKey
from ..errors import KeyLimitError, PaymentRefusedError
from ..payments.till import Payment
from ..payments.wire import PAYMENT_HEADER, TAKEN_HEADER, pack
from ..service import AnswerService
from .answer_shapes import CHAT, TEXT, Kind
from .answering import Choice, Wish, all_whole, events, submit, until_gone, usage
from .clients import client_of
from .conversation import conversation
from .foreign_body import ForeignBodyRoute
from .payment_terms import payment_problem
from .problems import ApiProblem
from .prompt_reading import PromptReader
from .requests import ChatRequest, TextRequest, require_few

RECEIPT_HEADER = "x-gainsay-receipt"  # of every choice, in their order, with a comma between two
AUDIT_KEY_HEADER = "x-gainsay-audit-key"  # likewise: the rights to the one audit of each private answer
SAMPLING_HEADER = "x-gainsay-sampling"  # the rules with their effective seeds; greedy answers have none


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
        _require_answerable(service, body)
        body.choices(service.most_answers)
        messages = conversation(body.messages, served.tokenizer.specification.chat_template)
        prompt = await prompts.chat(messages, len(await request.body()))
        return await _answer(service, CHAT, body, [prompt], request)

    @routes.post("/completions")
    async def text(body: TextRequest, request: Request) -> Response:
        _require_model(service, body.model)
        _require_answerable(service, body)
        given = body.prompts(service.most_answers)
        require_few("n", len(given) * body.choices(service.most_answers), service.most_answers)
        size = len(await request.body())
        read = [await prompts.text(one, size) if isinstance(one, str) else one for one in given]
        return await _answer(service, TEXT, body, read, request)

    @routes.post("/responses")
    def responses() -> None:
        raise ApiProblem(
            404, "not_found", "this provider has no Responses API; use /v1/chat/completions, which every client of OpenAI speaks"
        )  # fmt: skip

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
        "default_max_tokens": service.default_max_tokens,
        "logit_scale": served.logit_scale,
    }


def _require_model(service: AnswerService, name: str) -> None:
    if name != service.served.name:
        message = f"this provider serves {service.served.name!r}, not {name!r}"
        raise ApiProblem(404, "model_not_found", message, param="model")


def _require_answerable(service: AnswerService, body: ChatRequest | TextRequest) -> None:
    """Refuse what is wrong with a request whatever its prompt says, before anything is read or run. Raises ApiProblem."""
    body.sampling()
    _ = body.stops, body.limit
    if body.likely is not None and service.boundaries is not None and not service.private_logprobs:
        raise ApiProblem(
            400, "unsupported_value",
            "logprobs: this model is private, and likelihoods of many tokens give its last layer away (docs/sampling.md); "
            "leave it out", param="logprobs",
        )  # fmt: skip


def _wishes(service: AnswerService, body: ChatRequest | TextRequest, prompts: list[list[int]]) -> list[Wish]:
    """Every choice of every prompt, in the order of their indices. Raises ApiProblem and SequenceTooLongError."""
    vocabulary, wishes = len(service.served.tokenizer), []
    for number, prompt in enumerate(prompts):
        if not prompt:
            raise ApiProblem(
                400, "invalid_prompt", "the prompt is empty; send at least one token", param="prompt"
            )
        if (bad := next((token for token in prompt if token >= vocabulary), None)) is not None:
            message = f"token id {bad} is outside the vocabulary of {vocabulary}"
            raise ApiProblem(400, "invalid_prompt", message, param="prompt")
        max_tokens = service.served.token_budget(len(prompt), body.limit, service.default_max_tokens)
        # Before anything of the prompt is run: a seed that is drawn here cannot depend on what it gives.
        wishes += [
            Wish(number, prompt, max_tokens, body.sampling(choice))
            for choice in range(body.choices(service.most_answers))
        ]
    return wishes


async def _answer(
    service: AnswerService,
    kind: Kind,
    body: ChatRequest | TextRequest,
    prompts: list[list[int]],
    request: Request,
) -> Response:
    wishes = _wishes(service, body, prompts)
    if (
        len(wishes) > 1
        and service.till is not None
        and (service.till.required or PAYMENT_HEADER in request.headers)
    ):
        message = "every answer is paid by a voucher of its own; send one request for each"
        raise ApiProblem(400, "unsupported_value", message, param="n" if len(prompts) == 1 else "prompt")
    answer_id = kind.prefix + uuid.uuid4().hex[:24]
    with ExitStack() as stack:
        choices = _leased(service, stack, wishes, request)
        async with _paid(service, request) as payment:
            client = client_of(request, payment)
            choices += await submit(
                service, kind, answer_id, wishes, body.stops, body.likely, payment, client
            )
            told = _told(service, choices, payment)
            if body.wants_stream:
                stream = _held(stack.pop_all(), events(service, kind, answer_id, choices, body.wants_usage))
                # The first event comes before the status line, so a prompt that cannot be run is a real 422.
                first = await until_gone(anext(stream), choices, request)
                return StreamingResponse(
                    _chain(first, stream), media_type="text/event-stream", headers=_NO_CACHE | told
                )
            shown = await until_gone(all_whole(choices), choices, request)
    content = {
        "id": answer_id,
        "object": kind.whole,
        "created": int(time.time()),
        "model": service.served.name,
        "choices": shown,
        "usage": usage(choices),
        "system_fingerprint": "0x" + service.served.model_id.hex(),
    }
    receipts = [choice.finished.receipt for choice in choices if choice.finished]
    told[RECEIPT_HEADER] = ",".join(receipt.receipt_id for receipt in receipts)
    if audit_keys := [receipt.audit_key for receipt in receipts if receipt.audit_key is not None]:
        told[AUDIT_KEY_HEADER] = ",".join(audit_keys)
    return JSONResponse(content, headers=told)


def _leased(service: AnswerService, stack: ExitStack, wishes: list[Wish], request: Request) -> list[Choice]:
    """The list of choices that the lease of the request's key looks at when it ends. Raises KeyLimitError."""
    choices: list[Choice] = []
    key: ApiKey | None = getattr(request.state, "api_key", None)
    if key is not None:
        prompts = {wish.number: len(wish.prompt) for wish in wishes}
        most = sum(prompts.values()) + sum(wish.max_tokens for wish in wishes)
        try:
            lease = stack.enter_context(key.lease(len(wishes), most))
        except KeyLimitError:
            service.metrics.key_refusals.labels("limit").inc()
            raise

        def settle() -> None:
            lease.tokens = usage(choices)["total_tokens"]

        stack.callback(settle)
    return choices


def _told(service: AnswerService, choices: list[Choice], payment: Payment | None) -> dict[str, str]:
    """Headers that are known before the first token."""
    told = {} if payment is None else {TAKEN_HEADER: _taken(service, payment)}
    rules = [describe_sampling(choice.job.sampling) for choice in choices if choice.job.sampling is not None]
    return told | ({SAMPLING_HEADER: ", ".join(rules)} if rules else {})


async def _held(stack: ExitStack, stream: AsyncIterator[str]) -> AsyncIterator[str]:
    """The stream; what it holds is released with its end."""
    with stack:
        async with aclosing(stream):  # type: ignore[type-var]  # an async generator: cancels its jobs at once
            async for event in stream:
                yield event


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


async def _chain(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    async with aclosing(rest):  # type: ignore[type-var]
        yield first
        async for event in rest:
            yield event
