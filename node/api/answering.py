"""One request's answers on their way: as a whole, or as server-sent events.

Every choice is an answer of its own, with its own place in the queue, its own rule, leaf and receipt. Choices of a stream come as
they are made, side by side; each ends with a chunk that holds its receipt. If one fails, all fail that are not committed yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from contracts.protocol.sampling import describe_sampling
from prover.model.stop_strings import AnswerText, text_of
from prover.sampling import Sampling

from ..answer_watch import AnswerWatch
from ..clients import Client
from ..errors import AnswerGivenUpError
from ..inference import Job
from ..payments.till import Payment
from ..service import AnswerService, Finished
from .answer_shapes import Kind, LikelihoodShapes
from .problems import ApiProblem, as_problem

RECEIPT_FIELD = "x_gainsay_receipt"  # of a choice, and of its last chunk: an attribute name in every client
SAMPLING_FIELD = "x_gainsay_sampling"
AUDIT_KEY_FIELD = "x_gainsay_audit_key"

_DISCONNECT_POLL_S = 0.25


@dataclass(frozen=True)
class Wish:
    """What one choice shall be: its prompt (and which of the request's it is), its limit and its rule."""

    number: int
    prompt: list[int]
    max_tokens: int
    sampling: Sampling | None


@dataclass
class Choice:
    """One choice, and what of it was told already."""

    service: AnswerService
    kind: Kind
    index: int
    prompt_number: int
    response_id: str
    job: Job
    stops: tuple[str, ...]
    payment: Payment | None = None
    finished: Finished | None = None
    seen: int = 0  # tokens that were made, whatever becomes of them
    _told: int = 0
    _shapes: LikelihoodShapes = field(init=False)

    def __post_init__(self) -> None:
        self._shapes = LikelihoodShapes(self.service.served.tokenizer, self.kind)

    async def commit(self) -> Finished:
        """Place and sign the answer once its generation has ended."""
        self.finished = await self.service.commit(self.job, self.response_id, self.payment)
        return self.finished

    async def whole(self) -> dict[str, Any]:
        """The choice in an answer that is sent at once. Raises what the generation or its committing raises."""
        async for _ in self.service.tokens(self.job):
            self.seen += 1
        finished = await self.commit()
        text = text_of(self.service.served.tokenizer, finished.output_ids, self.stops)
        shown = self.kind.choice(self.index, text, finished.finish_reason, self._likelihoods())
        return shown | self.names()

    async def chunks(self) -> AsyncGenerator[dict[str, Any], None]:
        """The choices and further fields of every chunk of a stream; text comes as soon as no stop string can take it back."""
        text, begun = AnswerText(self.service.served.tokenizer, self.stops), False
        async for token in self.service.tokens(self.job):
            self.seen += 1
            if (piece := text.push(token)) or not begun:
                first, begun = not begun, True
                yield self._chunk(piece, first=first)
        await self.commit()
        if (rest := text.flush()) or self._untold():
            yield self._chunk(rest)
        assert self.finished is not None
        end = self.kind.delta(self.index, None, finish=self.finished.finish_reason)
        yield {"choices": [end | self.names()], **self.names()}

    def names(self) -> dict[str, str]:
        """What holds the provider to this choice."""
        assert self.finished is not None
        receipt, rule = self.finished.receipt, self.job.sampling
        names = {RECEIPT_FIELD: receipt.receipt_id}
        if rule is not None:
            names[SAMPLING_FIELD] = describe_sampling(rule)
        if receipt.audit_key is not None:
            names[AUDIT_KEY_FIELD] = receipt.audit_key
        return names

    def _chunk(self, text: str, *, first: bool = False) -> dict[str, Any]:
        logprobs = self._likelihoods()
        return {"choices": [self.kind.delta(self.index, text, first=first, logprobs=logprobs)]}

    def _untold(self) -> bool:
        watch = self.job.watch
        return watch is not None and len(watch.likelihoods) > self._told

    def _likelihoods(self) -> dict[str, Any] | None:
        """Of all tokens that were chosen and not told yet."""
        watch = self.job.watch
        if watch is None or not watch.wants_logits:
            return None
        new = watch.likelihoods[self._told :]
        self._told += len(new)
        return self._shapes.of(new)


async def submit(
    service: AnswerService,
    kind: Kind,
    answer_id: str,
    wishes: Sequence[Wish],
    stops: tuple[str, ...],
    top_logprobs: int | None,
    payment: Payment | None,
    client: Client,
) -> list[Choice]:
    """Queue every choice, or none. Raises NotReadyError, QueueFullError and SamplingError."""
    served = service.served
    watched = bool(stops) or top_logprobs is not None
    choices: list[Choice] = []
    try:
        for index, wish in enumerate(wishes):
            watch = (
                AnswerWatch(served.tokenizer, stops, served.logit_scale, top_logprobs) if watched else None
            )
            job = await service.submit(wish.prompt, wish.max_tokens, wish.sampling, watch, client)
            name = answer_id if len(wishes) == 1 else f"{answer_id}-{index}"
            choices.append(Choice(service, kind, index, wish.number, name, job, stops, payment))
    except BaseException:
        cancel(choices)
        raise
    return choices


def cancel(choices: Sequence[Choice]) -> None:
    """Stop what is not committed."""
    for choice in choices:
        choice.job.cancel()


async def all_whole(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """Every choice, each committed as soon as it is made. Raises what the first that fails raises."""
    tasks = [asyncio.ensure_future(choice.whole()) for choice in choices]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        cancel(choices)
        for task in tasks:
            task.cancel()
        raise


async def until_gone(work: Any, choices: Sequence[Choice], request: Request) -> Any:
    """Await `work`, but give up and cancel the choices when the caller closes the connection."""
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
            cancel(choices)
            task.cancel()


async def events(
    service: AnswerService, kind: Kind, answer_id: str, choices: Sequence[Choice], wants_usage: bool
) -> AsyncIterator[str]:
    """Server-sent events of a request's choices.

    Once text is out, a payment goes back only if this node fails: who reads an answer and leaves before its end paid
    for what it read.
    """
    frame = {
        "id": answer_id,
        "object": kind.chunk,
        "created": int(time.time()),
        "model": service.served.name,
        "system_fingerprint": "0x" + service.served.model_id.hex(),
    } | ({"usage": None} if wants_usage else {})
    payment, begun = choices[0].payment, False
    merged = choices[0].chunks() if len(choices) == 1 else _merged([choice.chunks() for choice in choices])
    try:
        async with contextlib.aclosing(merged):
            async for chunk in merged:
                begun = True
                yield _event(frame | chunk)
    except Exception as error:
        if not begun:
            raise
        if payment is not None:
            is_callers = isinstance(error, AnswerGivenUpError)
            await asyncio.to_thread(payment.keep if is_callers else payment.give_back)
        yield _event(as_problem(error).body())
        return
    except BaseException:  # the caller left
        if begun and payment is not None:
            asyncio.get_running_loop().run_in_executor(None, payment.keep)
        raise
    finally:
        cancel(choices)
    if wants_usage:
        names = choices[0].names() if len(choices) == 1 else {}
        yield _event(frame | {"choices": [], "usage": usage(choices)} | names)
    yield "data: [DONE]\n\n"


def usage(choices: Sequence[Choice]) -> dict[str, int]:
    """Tokens of a request so far: every prompt counts once, however many choices it has."""
    prompt = sum({choice.prompt_number: len(choice.job.prompt) for choice in choices}.values())
    output = sum(choice.seen for choice in choices)
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


async def _merged(
    streams: Sequence[AsyncGenerator[dict[str, Any], None]],
) -> AsyncGenerator[dict[str, Any], None]:
    """What several streams give, as it comes; no stream is more than one item ahead of its reader."""
    news: asyncio.Queue[dict[str, Any] | BaseException | None] = asyncio.Queue(maxsize=1)

    async def pump(stream: AsyncGenerator[dict[str, Any], None]) -> None:
        try:
            async with contextlib.aclosing(stream):
                async for item in stream:
                    await news.put(item)
        except Exception as error:
            await news.put(error)
        else:
            await news.put(None)

    pumps = [asyncio.ensure_future(pump(stream)) for stream in streams]
    try:
        left = len(pumps)
        while left:
            item = await news.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                left -= 1
            else:
                yield item
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
