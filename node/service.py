"""What the HTTP API stands on: one served model, its queue, its receipts and the node's state of health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

from prover.model.errors import SequenceTooLongError
from prover.model.tokenizer import Tokenizer

from .errors import NotReadyError
from .inference import InferenceQueue, Job
from .metrics import Metrics
from .receipts import IssuedReceipt, ReceiptDesk


@dataclass(frozen=True)
class ServedModel:
    """The model under the name that clients use."""

    name: str
    model_id: bytes
    tokenizer: Tokenizer
    max_positions: int
    created: int

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

    def submit(self, prompt_ids: list[int], max_tokens: int) -> Job:
        """Queue a request. Raises NotReadyError and QueueFullError."""
        if (reason := self.readiness()) is not None:
            raise NotReadyError(reason)
        return self.queue.submit(prompt_ids, max_tokens)

    async def tokens(self, job: Job) -> AsyncIterator[int]:
        """The job's ids as they come. Leaving early cancels the job, so that nothing of it is committed."""
        try:
            async for token in job.tokens():
                yield token
        finally:
            job.cancel()

    async def commit(self, job: Job, response_id: str) -> Finished:
        """Place and sign a finished job's answer."""
        generation = job.result
        issue = asyncio.to_thread(
            self.desk.issue,
            job.prompt,
            generation.ids,
            job.max_tokens,
            generation.finish_reason,
            response_id=response_id,
            generation_ms=round(job.seconds * 1000),
        )
        # A caller that leaves now must not tear a half-written receipt apart.
        receipt = await asyncio.shield(asyncio.ensure_future(issue))
        self.metrics.answered(len(job.prompt), len(generation.ids), job.seconds, receipt.seconds)
        return Finished(generation.ids, generation.finish_reason, receipt)
