"""Posts batches by their deadline and finalises them.

A batch that the free stake does not cover is left until it does; those behind it go first. Every round reads the chain before it acts, so a kill anywhere is repaired by the next round: a batch that is on
chain is never posted twice (the ledger maps provider and salt to it), one that is not is posted.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence

import structlog

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError
from contracts.bindings.inference_ledger import Batch, ResponseStatus

from .errors import DatabaseError
from .metrics import Metrics
from .outbox import Outbox
from .records import batch_tree
from .store import BatchRow, BatchState, Journal, ResponseRow, ResponseState

log = structlog.get_logger("node.committer")

_STATES = {
    ResponseStatus.PENDING: ResponseState.PENDING,
    ResponseStatus.DISPUTED: ResponseState.DISPUTED,
    ResponseStatus.FINAL: ResponseState.FINAL,
    ResponseStatus.VOID: ResponseState.VOID,
}


class Committer:
    """One provider's batches. `now` gives the chain's time."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        journal: Journal,
        outbox: Outbox,
        metrics: Metrics,
        now: Callable[[], int],
    ) -> None:
        self._ledger, self._stake = contracts.ledger, contracts.stake
        self._lock_per_response: int | None = None
        self._journal, self._outbox, self._metrics, self._now = journal, outbox, metrics, now

    def step(self) -> None:
        """One round of both kinds; the node gives each a thread of its own, so that neither holds up the other."""
        try:
            self.post_due()
        finally:
            self.settle()

    def post_due(self) -> None:
        """Post every batch that is due and that the free stake covers, earliest deadline first."""
        self._outbox.recover()
        self._journal.seal_due(self._now())
        self._each([BatchState.SEALED], self._post)

    def settle(self) -> None:
        """Finalise posted batches."""
        self._each([BatchState.POSTED], self._settle)

    def _each(self, states: Sequence[BatchState], work: Callable[[BatchRow], None]) -> None:
        """A failing batch does not hold up the others. Raises the first failure at the end."""
        failure: Exception | None = None
        for batch in sorted(self._journal.batches(states), key=lambda batch: batch.posting_deadline):
            try:
                work(batch)
            except Exception as error:
                failure = failure or error
                with contextlib.suppress(DatabaseError):
                    self._journal.update_batch(_number(batch), failure=" ".join(str(error).split()))
        if failure is not None:
            raise failure

    # --- posting

    def _post(self, batch: BatchRow) -> None:
        rows = self._journal.responses_of(_number(batch))
        root = batch_tree(rows).root
        # Before posting, so that a challenger who sees the root on chain can ask for the batch by it.
        self._journal.update_batch(_number(batch), root="0x" + root.hex())
        salt, model_id = bytes.fromhex(batch.salt[2:]), bytes.fromhex(batch.model_id[2:])
        if not self._ledger.batch_of(self._outbox.provider, salt):
            if self._is_delayed(batch) or not self._is_covered(batch):
                return
            call = self._ledger.post_batch(self._outbox.provider, root, salt, model_id, len(rows))
            try:
                self._outbox.send(call, f"post:{batch.salt}")
                self._metrics.batches_posted.inc()
            except ContractError:
                # A transaction of the time before a kill may have been mined in between.
                if not self._ledger.batch_of(self._outbox.provider, salt):
                    raise
        self._note_posted(batch)

    def _is_delayed(self, batch: BatchRow) -> bool:
        """Whether a guardian keeps new batches out now. The receipts' deadlines wait, and so does the batch."""
        until = self._stake.delayed_until()
        if until <= self._now():
            return False
        why = f"PostingDelayed: the guardian delays new batches until {until}"
        self._journal.update_batch(_number(batch), failure=why)
        return True

    def _is_covered(self, batch: BatchRow) -> bool:
        """Whether the free stake covers a whole batch now.

        A batch cannot be split: its receipts name its salt, and a salt is used once. So it waits for a deposit;
        `Health` says how much and until when.
        """
        if self._stake.is_paused(self._outbox.provider):
            why = "ProviderPaused: a response was lost; nothing is posted until `gainsay provider resume`"
            self._journal.update_batch(_number(batch), failure=why)
            return False
        free, needed = self._stake.free_stake(self._outbox.provider), batch.count * self._lock_wei()
        if free >= needed:
            return True
        why = f"its {batch.count} answers lock {needed} wei, but only {free} wei of the stake are free"
        self._journal.update_batch(_number(batch), failure=why)
        return False

    def _lock_wei(self) -> int:
        if self._lock_per_response is None:
            self._lock_per_response = self._stake.parameters().lock_per_response
        return self._lock_per_response

    def _note_posted(self, batch: BatchRow) -> None:
        chain_batch_id = self._ledger.batch_of(self._outbox.provider, bytes.fromhex(batch.salt[2:]))
        if not chain_batch_id:
            return  # not in this view of the chain yet
        posted = self._ledger.batch(chain_batch_id)
        self._journal.update_batch(
            _number(batch),
            state=BatchState.POSTED,
            chain_batch_id=chain_batch_id,
            posted_at=posted.posted_at,
            challenge_deadline=posted.deadline,
            failure=None,
        )
        log.info("batch posted", batch=chain_batch_id, responses=posted.count, deadline=posted.deadline)

    # --- settling

    def _settle(self, batch: BatchRow) -> None:
        chain_batch_id = self._ledger.batch_of(self._outbox.provider, bytes.fromhex(batch.salt[2:]))
        if not chain_batch_id:
            log.warning("batch was reorganised away", batch=batch.chain_batch_id)
            self._journal.update_batch(_number(batch), state=BatchState.SEALED, chain_batch_id=None)
            return
        if chain_batch_id != batch.chain_batch_id:  # posted again in another order after a reorganisation
            self._note_posted(batch)
            return
        posted = self._ledger.batch(chain_batch_id)
        disputed = self._disputed(chain_batch_id) if posted.disputed_count else set()
        over = self._now() > posted.deadline
        if over and not posted.finalised and not self._finalise(batch, chain_batch_id):
            return
        settled = over
        for row in self._journal.responses_of(_number(batch), only=disputed) if disputed else ():
            state = self._disputed_state(chain_batch_id, row)
            settled = settled and state in (ResponseState.FINAL, ResponseState.VOID)
            self._journal.set_response_states(_number(batch), state, only=[row.index_in_batch])
        undisputed = ResponseState.FINAL if over else ResponseState.PENDING
        self._journal.set_response_states(_number(batch), undisputed, but=disputed)
        # More games than this node has read of: wait for the events. So for what settled it: the journal, which takes back the state
        # of a batch with its events, must have them.
        if settled and len(disputed) == posted.disputed_count and self._is_told(chain_batch_id, disputed):
            self._journal.update_batch(_number(batch), state=BatchState.FINAL, failure=None)
            log.info("batch final", batch=chain_batch_id)

    def _finalise(self, batch: BatchRow, chain_batch_id: int) -> bool:
        """Release the locks of undisputed responses. False while the chain's time is not there yet."""
        try:
            self._outbox.send(self._ledger.finalise_batch(chain_batch_id), f"finalise:{batch.salt}")
        except ContractError:
            posted: Batch = self._ledger.batch(chain_batch_id)
            return posted.finalised  # anyone may have been faster
        return True

    def _disputed(self, chain_batch_id: int) -> set[int]:
        """Responses that are settled one by one: somebody opened a game about them, or asked for them."""
        events = self._journal.events(names=["ResponseDisputed", "ResponseAsked"], batch_id=chain_batch_id)
        return {int(json.loads(event.arguments)["index"]) for event in events}

    def _is_told(self, chain_batch_id: int, disputed: set[int]) -> bool:
        """Whether the events that released all its locks are read."""
        whole = self._journal.events(names=["BatchFinalised"], batch_id=chain_batch_id)
        single = self._journal.events(names=["ResponseFinalised", "ResponseVoided"], batch_id=chain_batch_id)
        return bool(whole) and disputed <= {int(json.loads(event.arguments)["index"]) for event in single}

    def _disputed_state(self, chain_batch_id: int, row: ResponseRow) -> ResponseState:
        """What the chain says; a response that survived its games gets its lock back."""
        index = row.index_in_batch
        on_chain = self._ledger.response(chain_batch_id, index)
        state = _STATES[self._ledger.response_status(chain_batch_id, index)]
        if on_chain.is_void or on_chain.open_games or on_chain.is_asked_for:
            return state
        if self._now() > on_chain.challenge_deadline and not on_chain.released:
            try:
                call = self._ledger.finalise_response(chain_batch_id, index)
                self._outbox.send(call, f"finalise:{row.leaf}")
            except ContractError:
                if not self._ledger.response(chain_batch_id, index).released:
                    return ResponseState.PENDING
            return ResponseState.FINAL
        return ResponseState.FINAL if on_chain.released else ResponseState.PENDING


def _number(batch: BatchRow) -> int:
    assert batch.id is not None
    return batch.id
