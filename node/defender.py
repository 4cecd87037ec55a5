"""Plays the provider's side of every dispute about its responses.

What to do is decided by the honest player from the state on chain and the node's own trace; this file fetches the
one, computes the other and sends. A round begins every move that is due, the earliest deadline first, and looks after
those on their way; it waits for none of them. Nothing is remembered between rounds that a restart could not find again.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from contracts.bindings.chain import Block
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, ReceiptMissing, TransactionTimedOut
from contracts.bindings.moves import call_of, move_key, read_game_state
from contracts.protocol.actions import Action, Concede, ProveEmbedding, ProveHead, ProveStep
from contracts.protocol.game import GameState, ModelRules, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.model import CommittedModel
from contracts.protocol.token_ids import unpack_token_ids
from contracts.protocol.trace import ProvingTrace
from prover.sampling import Sampling

from .errors import error_sentence
from .metrics import Metrics
from .outbox import Outbox
from .receipts import sampling_of_row
from .remembered_trace import BoundaryFiles, RememberedTrace
from .store import Journal
from .work_pool import WorkPool

log = structlog.get_logger("node.defender")

TraceFactory = Callable[[Sequence[int], Sequence[int], Sampling | None], ProvingTrace]

# Traces in memory: a replay of the reference model is tens of megabytes; boundaries stay on disk.
_TRACES_KEPT = 4
_SHORT_MOVES_AT_ONCE = 2
# A proof uses every core by itself.
_PROOFS_AT_ONCE = 1
_LONGEST_PAUSE_S = 8.0


@dataclass
class _Turn:
    """A move that is being made: prepared while `intent` is None, then on its way."""

    state: GameState
    move: str = ""
    intent: int | None = None


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
        files: BoundaryFiles,
    ) -> None:
        """`trace(prompt_ids, output_ids, sampling)` starts a lazy replay; `commitment()` gives the model's keys and rows.

        Only blocks with `confirmations` blocks on top are acted on, and their time decides what is late.
        """
        self._contracts, self._journal, self._outbox = contracts, journal, outbox
        self._metrics, self._confirmations, self._rules = metrics, confirmations, rules
        self._commitment, self._start_trace, self._files = commitment, trace, files
        self._traces: OrderedDict[str, RememberedTrace] = OrderedDict()
        self._short = WorkPool("moves", _SHORT_MOVES_AT_ONCE)
        self._proofs = WorkPool("proofs", _PROOFS_AT_ONCE)
        self._turns: dict[int, _Turn] = {}  # by game
        self._failures: dict[int, tuple[int, float]] = {}  # by game: how many in a row, not again before
        self._untold: list[Exception] = []
        self._lock = threading.Lock()

    def step(self) -> None:
        """One round over all open games. A game that fails pauses for itself; raises only without a chain."""
        self._look_after_sent()
        head = self._contracts.chain.confirmed_head(self._confirmations)
        states = []
        for event in self._journal.open_games():
            try:
                if json.loads(event.arguments)["provider"] == self._outbox.provider:
                    assert event.game_id is not None
                    if self._is_free(event.game_id):
                        states.append(read_game_state(self._contracts, event.game_id, self._rules, head))
            except Exception as error:
                self._failed(event.game_id or 0, error)
        for state in sorted(states, key=lambda state: state.game.deadline):
            turn = _Turn(state)
            with self._lock:
                self._turns[state.game_id] = turn
            self._short.submit(state.game.deadline, lambda turn=turn: self._prepare(turn, head))  # type: ignore[misc]

    def play_out(self, timeout_s: float = 120.0) -> None:
        """One round, and wait until its moves are confirmed. Raises the first failure: for callers without threads."""
        self._failures.clear()
        self.step()
        until = time.monotonic() + timeout_s
        while self.busy and time.monotonic() < until:
            time.sleep(0.01)
            self._look_after_sent()
        with self._lock:
            failures, self._untold = self._untold, []
        if failures:
            raise failures[0]

    @property
    def busy(self) -> bool:
        """Whether a move is prepared or on its way."""
        with self._lock:
            return bool(self._turns)

    # --- one turn: prepared and sent by a thread of the pool, confirmed by a later round

    def _prepare(self, turn: _Turn, head: Block) -> None:
        try:
            state = turn.state
            trace = self._trace_of(state)
            action = next_action(state, Side.PROVIDER, trace, head.timestamp)
            if action is None:
                self._over(turn)
                return
            turn.move = type(action).__name__
            if isinstance(action, Concede):
                log.error("this node cannot defend its response", game=state.game_id, why=action.why)
            log.info("move", game=state.game_id, move=turn.move, deadline=state.game.deadline)
            # Sent before the last stop, or before a failure: its call is kept, and a proof is not made again.
            sent = self._outbox.under_way(move_key(state, action))
            if sent is not None:
                turn.intent = sent
                return
            if isinstance(action, ProveStep | ProveEmbedding | ProveHead):
                self._proofs.submit(state.game.deadline, lambda: self._send(turn, action, trace))
            else:
                self._send(turn, action, trace)
        except Exception as error:
            self._over(turn, error)

    def _send(self, turn: _Turn, action: Action, trace: ProvingTrace | None) -> None:
        try:
            call = call_of(action, turn.state, self._contracts, trace, self._commitment() if trace else None)
            turn.intent = self._outbox.submit(call, move_key(turn.state, action))
        except Exception as error:
            self._over(turn, error)

    def _look_after_sent(self) -> None:
        with self._lock:
            sent = [turn for turn in self._turns.values() if turn.intent is not None]
        for turn in sorted(sent, key=lambda turn: turn.state.game.deadline):
            assert turn.intent is not None
            try:
                self._outbox.wait(turn.intent, timeout_s=0)
            except ReceiptMissing:
                log.warning("a move was reorganised away", game=turn.state.game_id, move=turn.move)
                self._over(turn)  # and is made again while it is the node's turn
                continue
            except TransactionTimedOut:
                continue
            except Exception as error:
                self._over(turn, error)
                continue
            self._metrics.moves.labels(turn.move).inc()
            self._over(turn)

    def _over(self, turn: _Turn, error: Exception | None = None) -> None:
        game_id = turn.state.game_id
        if error is not None and self._is_still_due(turn, error):
            self._failed(game_id, error)
        else:
            self._failures.pop(game_id, None)
        with self._lock:
            self._turns.pop(game_id, None)

    def _is_still_due(self, turn: _Turn, error: Exception) -> bool:
        """A timeout or a void response may have ended the game meanwhile; only a game that still waits failed."""
        if not isinstance(error, ContractError):
            return True
        try:
            now = self._contracts.game.game(turn.state.game_id)
        except Exception:
            return True
        return (now.phase, now.round) == (turn.state.game.phase, turn.state.game.round)

    def _failed(self, game_id: int, error: Exception) -> None:
        failures = self._failures.get(game_id, (0, 0.0))[0] + 1
        pause = min(0.5 * 2 ** min(failures, 10), _LONGEST_PAUSE_S)
        self._failures[game_id] = (failures, time.monotonic() + pause)
        self._metrics.failures.labels("defender").inc()
        log.warning("move failed", game=game_id, error=error_sentence(error))
        with self._lock:
            self._untold = [*self._untold[-99:], error]

    def _is_free(self, game_id: int) -> bool:
        with self._lock:
            moving = game_id in self._turns
        return not moving and time.monotonic() >= self._failures.get(game_id, (0, 0.0))[1]

    def _trace_of(self, state: GameState) -> RememberedTrace | None:
        """The trace of the game's response; None for a response that this database does not hold."""
        found = self._journal.response_at(state.game.batch_id, state.game.index)
        if found is None:
            log.error(
                "disputed response is not in the database", game=state.game_id, batch=state.game.batch_id
            )
            return None
        _, row = found
        with self._lock:
            trace = self._traces.get(row.id)
            if trace is None:
                ids = unpack_token_ids(row.prompt_ids), unpack_token_ids(row.output_ids)
                model = self._commitment()
                trace = RememberedTrace(
                    row.leaf, *ids, self._files, model, self._start_trace, sampling_of_row(row)
                )
                self._traces[row.id] = trace
                if len(self._traces) > _TRACES_KEPT:
                    self._traces.popitem(last=False)
            self._traces.move_to_end(row.id)
            return trace
