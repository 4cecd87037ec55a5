"""Plays the provider's side of every dispute about its responses, and answers claims that a receipt was not posted.

What to do is decided by the honest player from the state on chain and the node's own trace; this file only fetches
the one, computes the other and sends. Nothing is remembered between rounds except traces, which a restart
recomputes.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence

import structlog

from contracts.bindings.chain import Block
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError
from contracts.bindings.inference_ledger import ReceiptStatus
from contracts.bindings.moves import call_of, move_key, read_game_state
from contracts.protocol.actions import Concede
from contracts.protocol.game import GameState, ModelRules, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.model import CommittedModel
from contracts.protocol.token_ids import unpack_token_ids
from contracts.protocol.trace import ProvingTrace

from .metrics import Metrics
from .outbox import Outbox
from .records import batch_tree
from .store import Journal

log = structlog.get_logger("node.defender")

TraceFactory = Callable[[Sequence[int], Sequence[int]], ProvingTrace]

# Traces kept: one holds the window commitments of every boundary that was asked for.
_TRACES_KEPT = 4


class Defender:
    """One provider's disputes about responses of one model."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        journal: Journal,
        outbox: Outbox,
        metrics: Metrics,
        *,
        confirmations: int,
        rules: ModelRules,
        commitment: Callable[[], CommittedModel],
        trace: TraceFactory,
    ) -> None:
        """`trace(prompt_ids, output_ids)` starts a lazy replay; `commitment()` gives the model's keys and rows.

        Only blocks with `confirmations` blocks on top are acted on, and their time decides what is late.
        """
        self._contracts, self._journal, self._outbox = contracts, journal, outbox
        self._metrics, self._confirmations, self._rules = metrics, confirmations, rules
        self._commitment, self._start_trace = commitment, trace
        self._traces: OrderedDict[str, ProvingTrace] = OrderedDict()

    def step(self) -> None:
        """One round over all open games, the most urgent first. A failing game does not hold up the others."""
        head = self._contracts.chain.confirmed_head(self._confirmations)
        failure = self._answer_claims(head)
        states = []
        for event in self._journal.open_games():
            if json.loads(event.arguments)["provider"] == self._outbox.address:
                assert event.game_id is not None
                states.append(read_game_state(self._contracts, event.game_id, self._rules, head))
        for state in sorted(states, key=lambda state: state.game.deadline):
            try:
                self._play(state, head)
            except Exception as error:
                log.warning("move failed", game=state.game_id, error=" ".join(str(error).split()))
                failure = failure or error
        if failure is not None:
            raise failure

    def _play(self, state: GameState, head: Block) -> None:
        trace = self._trace_of(state)
        action = next_action(state, Side.PROVIDER, trace, head.timestamp)
        if action is None:
            return
        if isinstance(action, Concede):
            log.error("this node cannot defend its response", game=state.game_id, why=action.why)
        move = type(action).__name__
        log.info("move", game=state.game_id, move=move, deadline=state.game.deadline)
        call = call_of(action, state, self._contracts, trace, self._commitment() if trace else None)
        try:
            self._outbox.send(call, move_key(state, action))
        except ContractError:
            # A timeout or a void response may have ended the game meanwhile; only a game that still waits failed.
            now = self._contracts.game.game(state.game_id)
            if (now.phase, now.round) == (state.game.phase, state.game.round):
                raise
            return
        self._metrics.moves.labels(move).inc()

    def _trace_of(self, state: GameState) -> ProvingTrace | None:
        """The replay of the game's response; None for a response that this database does not hold."""
        found = self._journal.response_at(state.game.batch_id, state.game.index)
        if found is None:
            log.error(
                "disputed response is not in the database", game=state.game_id, batch=state.game.batch_id
            )
            return None
        _, row = found
        trace = self._traces.get(row.id)
        if trace is None:
            trace = self._start_trace(unpack_token_ids(row.prompt_ids), unpack_token_ids(row.output_ids))
            self._traces[row.id] = trace
            if len(self._traces) > _TRACES_KEPT:
                self._traces.popitem(last=False)
        self._traces.move_to_end(row.id)
        return trace

    # --- claims that a receipt was not posted

    def _answer_claims(self, head: Block) -> Exception | None:
        failure: Exception | None = None
        closed = {
            json.loads(event.arguments)["receipt_id"]
            for event in self._journal.events(names=["ReceiptAnswered", "ReceiptSlashed"])
        }
        for event in self._journal.events(names=["ReceiptClaimed"]):
            claim = json.loads(event.arguments)
            if claim["provider"] == self._outbox.address and claim["receipt_id"] not in closed:
                try:
                    self._answer_claim(claim["receipt_id"], claim["leaf"], head)
                except Exception as error:
                    failure = failure or error
        return failure

    def _answer_claim(self, receipt_id: str, leaf: str, head: Block) -> None:
        row = self._journal.find_response(leaf)
        if row is None:
            log.error("claimed receipt is not in the database", receipt=receipt_id)
            return
        ledger, identity = self._contracts.ledger, bytes.fromhex(receipt_id[2:])
        claim = ledger.receipt_claim(identity)
        if claim.status is not ReceiptStatus.CLAIMED or head.timestamp > claim.answer_deadline:
            return
        path = batch_tree(self._journal.responses_of(row.batch_id)).path(row.index_in_batch)
        self._outbox.send(ledger.answer_claim(identity, path), f"answer:{receipt_id}")
