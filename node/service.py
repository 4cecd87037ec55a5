"""What the HTTP API stands on: one served model, its queue, its receipts and the node's state of health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from prover.answer_commitments import AnswerCommitments
from prover.model.errors import SequenceTooLongError
from prover.model.tokenizer import Tokenizer
from prover.program import OutOfRange
from prover.sampling import Sampling, SamplingError, check_scale

from .answer_watch import AnswerWatch
from .audits.boundaries import BoundaryCommitter, CommittedTrace
from .clients import NOBODY, Client
from .errors import NotReadyError
from .inference import InferenceQueue, Job, Promise
from .metrics import Metrics
from .payments.till import Payment, Till
from .receipts import IssuedReceipt, ReceiptDesk
from .shared_answer import SharedAnswer

_T = TypeVar("_T")

# A request waits no longer than this for a database or a signature.
_LONGEST_STEP_S = 10.0


@dataclass(frozen=True)
class ServedModel:
    """The model under the name that clients use."""

    name: str
    model_id: bytes
    tokenizer: Tokenizer
    max_positions: int
    created: int
    logit_scale: int

    def token_budget(self, prompt_length: int, requested: int | None, default: int) -> int:
        """max_tokens of a request. Raises SequenceTooLongError unless prompt + output - 1 fits the positions."""
        room = self.max_positions - prompt_length + 1
        wanted = requested if requested is not None else min(default, max(room, 1))
        if wanted > room:
            raise SequenceTooLongError(prompt_length + wanted - 1, self.max_positions)
        return wanted


@dataclass(frozen=True)
class Finished:
    """A complete, committed answer."""

    output_ids: list[int]
    finish_reason: Literal["stop", "length"]
    receipt: IssuedReceipt


@dataclass
class AnswerService:
    """Turns prompt ids into committed answers."""

    served: ServedModel
    queue: InferenceQueue
    desk: ReceiptDesk
    metrics: Metrics
    default_max_tokens: int
    readiness: Callable[[], str | None] = field(default=lambda: None)
    reserve: Callable[[], Promise] | None = None  # None: answers need no stake
    till: Till | None = None  # None: answers cost nothing
    boundaries: BoundaryCommitter | None = None  # None: the model is public
    most_answers: int = 20  # of one request
    private_logprobs: bool = False  # whether a private model tells how likely its tokens are
    shares_prompts: bool = False  # whether beginnings that a client sent before are kept in memory

    def __post_init__(self) -> None:
        self._judged = SharedAnswer(lambda: self.readiness())  # a crowd of requests asks the database once

    @asynccontextmanager
    async def paid(self, headers: Sequence[str]) -> AsyncIterator[Payment | None]:
        """What these `X-Payment` headers pay; it goes back when the body raises. None: nothing.

        Raises PaymentRefusedError, QueueFullError and NotReadyError.
        """
        payment = None
        if self.till is not None:
            till = self.till
            payment = await self._in_time(lambda: self._take(till, headers), _give_back)
        try:
            yield payment
        except BaseException:
            if payment is not None:
                # Before the caller hears of the failure: it may come again at once with the same voucher.
                await asyncio.shield(asyncio.to_thread(payment.give_back))
            raise

    def _take(self, till: Till, headers: Sequence[str]) -> Payment | None:
        if headers:
            if (reason := self._judged()) is not None:
                raise NotReadyError(reason)
            self.queue.require_room()
        return till.take(headers)

    async def submit(
        self,
        prompt_ids: list[int],
        max_tokens: int,
        sampling: Sampling | None = None,
        watch: AnswerWatch | None = None,
        client: Client = NOBODY,
    ) -> Job:
        """Reserve stake for a request and queue it. Raises NotReadyError, QueueFullError, and SamplingError for a rule that
        this model does not know."""
        if sampling is not None:
            if self.boundaries is not None:
                raise SamplingError(
                    "a private model answers greedily, because audits are about the largest logit; leave temperature out"
                )
            check_scale(self.served.logit_scale)
        promise = await self._in_time(self._promise, _give_up)
        try:
            keeper = None if self.boundaries is None else self.boundaries.begin()
            scope = client.scope if self.shares_prompts else None
            return self.queue.submit(
                prompt_ids, max_tokens, promise, sampling, keeper, watch, client.share, scope
            )
        except BaseException:
            if promise is not None:
                promise.give_up()
            raise

    @staticmethod
    async def _in_time(ask: Callable[[], _T], too_late: Callable[[asyncio.Future[_T]], None]) -> _T:
        """What `ask` gives, in a thread, because a database that hangs must not stop the event loop.

        `too_late` undoes what comes after the request has gone. Raises NotReadyError.
        """
        asked = asyncio.ensure_future(asyncio.to_thread(ask))
        try:
            done, _ = await asyncio.wait({asked}, timeout=_LONGEST_STEP_S)
        except asyncio.CancelledError:
            asked.add_done_callback(too_late)
            raise
        if not done:
            asked.add_done_callback(too_late)
            raise NotReadyError("its database or its chain does not answer")
        return asked.result()

    def _promise(self) -> Promise | None:
        if (reason := self._judged()) is not None:
            raise NotReadyError(reason)
        return self.reserve() if self.reserve is not None else None

    async def tokens(self, job: Job) -> AsyncIterator[int]:
        """The job's ids as they come. Leaving early cancels the job, so that nothing of it is committed.

        Raises what the generation raised; of a private model without the value that left its range, and without its place: clients
        choose the texts, so what they are told about one would be an activation of their choice.
        """
        complete = False
        try:
            async for token in job.tokens():
                yield token
            complete = True
        except OutOfRange as error:
            if self.boundaries is None:
                raise
            raise error.without_value() from None
        finally:
            if not complete:
                job.cancel()

    async def commit(self, job: Job, response_id: str, payment: Payment | None = None) -> Finished:
        """Place and sign a finished job's answer, which uses its payment up."""
        generation = job.result
        committed = await self._boundaries_of(job)
        if job.promise is not None:
            job.promise.begin_placing()
        # A caller that leaves now must not tear a half-written receipt apart.
        issuing = asyncio.ensure_future(asyncio.to_thread(self._issue, job, response_id, payment, committed))
        done, _ = await asyncio.wait({issuing}, timeout=_LONGEST_STEP_S)
        if not done:
            issuing.add_done_callback(_forget)
            raise NotReadyError("its receipt could not be written and signed in time")
        receipt = issuing.result()
        self.metrics.answered(len(job.prompt), len(generation.ids), job.seconds, receipt.seconds)
        return Finished(generation.ids, generation.finish_reason, receipt)

    async def _boundaries_of(self, job: Job) -> CommittedTrace | None:
        """What a private model's answer commits to; nothing of it is signed when that fails or the caller leaves."""
        if self.boundaries is None:
            return None
        assert isinstance(job.keeper, AnswerCommitments)
        try:
            return await asyncio.to_thread(self.boundaries.finish, job.prompt, job.result.ids, job.keeper)
        except BaseException:
            job.cancel()
            raise

    def _issue(
        self, job: Job, response_id: str, payment: Payment | None, committed: CommittedTrace | None
    ) -> IssuedReceipt:
        generation = job.result
        try:
            return self.desk.issue(
                job.prompt,
                generation.ids,
                # With its length as its limit an answer that a stop string ends is one like any other: nobody can dispute
                # that it is short, and its client sees by itself that the string is there (`require_own_end`).
                len(generation.ids) if job.watch is not None and job.watch.stopped else job.max_tokens,
                generation.finish_reason,
                sampling=job.sampling,
                response_id=response_id,
                generation_ms=round(job.seconds * 1000),
                payment=payment,
                committed=committed,
            )
        finally:
            if job.promise is not None:
                job.promise.end_placing()


def _give_up(promising: asyncio.Future[Promise | None]) -> None:
    """A promise that came too late for its request."""
    if promising.cancelled() or promising.exception() is not None:
        return
    if (promise := promising.result()) is not None:
        promise.give_up()


def _give_back(taking: asyncio.Future[Payment | None]) -> None:
    """A payment that was taken too late for its request."""
    if taking.cancelled() or taking.exception() is not None:
        return
    if (payment := taking.result()) is not None:
        asyncio.get_running_loop().run_in_executor(None, payment.give_back)


def _forget(issuing: asyncio.Future[IssuedReceipt]) -> None:
    """A receipt that came too late for its request; its failure has been told already."""
    if not issuing.cancelled():
        issuing.exception()
