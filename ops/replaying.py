"""The monitor's own replay: posted answers are re-run here, whoever else does, and what the chain makes of them is held against it.

What a provider hides, and answers of a model that is not here, are not judged; a challenger with `--ask` sees to the former.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog

from challenger.errors import ProviderUnreachable
from challenger.local_models import LocalModel
from challenger.provider_client import BatchOnChain, KnownResponse, ProviderBook
from challenger.verdicts import Judgement, Verdict, judge
from contracts.bindings.books import Books
from contracts.bindings.deployment import ProtocolContracts

from .monitor import CRITICAL, Alert

log = structlog.get_logger("ops.replaying")

Place = tuple[int, int]
#: A batch that its provider does not show is asked for again so much later.
_ASK_AGAIN_S = 10.0


class OwnReplay:
    """Judges the answers of batches that are not final. `verdicts`: of (batch, index), never judged twice."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        models: Sequence[LocalModel],
        providers: ProviderBook,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Models without an id of their own verifiers cannot be told from others with the same weights, and are left out."""
        self._contracts, self._providers, self._clock = contracts, providers, clock
        self._models: Mapping[bytes, LocalModel] = {m.built_id: m for m in models if m.built_id is not None}
        self._arity = contracts.stake.parameters().arity
        self._shown: dict[int, list[KnownResponse]] = {}
        self._ask_at: dict[int, float] = {}
        self.verdicts: dict[Place, Verdict] = {}

    def step(self, books: Books, now: int, budget_s: float) -> None:
        """Judge for `budget_s` (an answer that was begun is finished), the window that closes first first."""
        until = self._clock() + budget_s
        open_batches = [
            (batch.deadline, number)
            for number, batch in books.batches.items()
            if batch.model_id in self._models and not batch.finalised and batch.deadline >= now
        ]
        for _, number in sorted(open_batches):
            for response in self._responses(books, number):
                place = number, response.index
                if place in self.verdicts or response.ids is None:
                    continue
                if self._clock() >= until:
                    return
                self.verdicts[place] = self._judged(books.batches[number].model_id, response)
        for number in set(self._shown) - {number for _, number in open_batches}:
            del self._shown[number]

    def alerts(self, books: Books, now: int) -> Iterator[Alert]:
        """Where the chain's course and the own replay differ."""
        for (number, index), verdict in self.verdicts.items():
            batch = books.batches.get(number)
            if batch is None:
                continue  # a reorganisation took it
            state, what = books.response(number, index), f"response {index} of batch {number}"
            if verdict.judgement is Judgement.INVALID and not state.is_void:
                limit = state.challenge_deadline if state.disputed else batch.deadline
                games = f"{state.open_games} games run about it" if state.open_games else "nobody disputes it"
                left = f"{limit - now} s are left" if limit >= now else "its window is over: it is final"
                yield Alert(
                    "GainsayWrongAnswer", CRITICAL, what,
                    f"{what} of provider {batch.provider} is wrong ({verdict.why}); {games}, {left}",
                )  # fmt: skip
            elif verdict.judgement is Judgement.VALID and state.is_void:
                yield Alert(
                    "GainsayRightAnswerLost", CRITICAL, what,
                    f"{what} of provider {batch.provider} is what the model gives, but it was lost",
                )  # fmt: skip

    @property
    def waiting(self) -> int:
        """Answers that are shown and not judged yet."""
        return sum(
            (number, response.index) not in self.verdicts and response.ids is not None
            for number, shown in self._shown.items()
            for response in shown
        )

    def _responses(self, books: Books, number: int) -> list[KnownResponse]:
        if number in self._shown or self._ask_at.get(number, 0.0) > self._clock():
            return self._shown.get(number, [])
        batch = books.batches[number]
        on_chain = BatchOnChain(number, batch.provider, batch.model_id, batch.root, batch.salt, batch.count)
        chain, ledger = self._contracts.chain, self._contracts.ledger
        try:
            shown = self._providers.responses(on_chain, chain.chain_id, ledger.address)
        except ProviderUnreachable as error:
            self._ask_at[number] = self._clock() + _ASK_AGAIN_S
            log.info("a batch is not shown", batch=number, because=str(error))
            return []
        self._shown[number] = shown
        return shown

    def _judged(self, model_id: bytes, response: KnownResponse) -> Verdict:
        assert response.ids is not None
        model = self._models[model_id]
        commitment = model.commitment
        return judge(
            response.fields,
            *response.ids,
            model.rules(self._arity),
            commitment.max_positions,
            model.replay,
            commitment.step_name,
        )
