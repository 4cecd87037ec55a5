"""Plays the challenger's own games to their end, by the honest player. Waits for nobody: no provider, no replay."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

import structlog

from contracts.bindings.chain import Block
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, RpcUnavailable
from contracts.bindings.moves import call_of, move_key, read_game_state, shown_response
from contracts.bindings.results import Mined
from contracts.protocol.actions import Action
from contracts.protocol.game import GameState, ModelRules, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.sampling import unpack_sampling
from contracts.protocol.token_ids import unpack_token_ids
from contracts.protocol.trace import IdsOnly, TraceUnavailable
from prover.errors import GainsayError
from prover.sampling import Sampling

from .dispatch import Dispatcher
from .local_models import LocalModel, ModelFinder
from .pace import backoff_s
from .store import GameRow, Store
from .trace_files import StoredTrace, TraceFiles, TraceNeeded, trace_name
from .tracing import Question, Subject, Tracer

log = structlog.get_logger(__name__)
_READ_TRACES = 64  # a stored trace of the longest response is half a megabyte
_LOOK_AGAIN_S = 30  # chain time after which a game is looked at though nothing was seen to happen in it
_LONGEST_PAUSE_S = 5.0


@dataclass
class _Pause:
    tries: int = 0
    until_s: float = 0.0


class GamePlayer:
    """Makes at most one move per game and call; every move is a fresh look at a confirmed block."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        dispatcher: Dispatcher,
        store: Store,
        models: ModelFinder,
        arity: int,
        files: TraceFiles,
        tracer: Tracer,
    ) -> None:
        self._contracts, self._dispatcher, self._store = contracts, dispatcher, store
        self._models, self._arity, self._files, self._tracer = models, arity, files, tracer
        self._subjects: dict[int, Subject] = {}
        self._traces: OrderedDict[bytes, StoredTrace] = OrderedDict()
        self._moving: dict[int, str] = {}
        self._pauses: dict[int, _Pause] = {}
        self._quiet: dict[int, tuple[int, int, int]] = {}

    def play(self, head: Block) -> int:
        """Submit one move in every open game where one is due, earliest deadline first; the number of moves."""
        games = self._store.games(open_only=True)
        self._forget_all_but({game.game_id for game in games})
        moves = 0
        for game in sorted(games, key=lambda game: game.deadline):
            if self._is_to_wait(game, head):
                continue
            try:
                moves += self._play_one(game, head)
            except RpcUnavailable:
                raise  # no other game can be played either
            except Exception as error:
                # One game must not stop the others; it is looked at again soon.
                pause = self._pauses.setdefault(game.game_id, _Pause())
                pause.tries += 1
                pause.until_s = time.monotonic() + backoff_s(
                    pause.tries, first_s=0.25, longest_s=_LONGEST_PAUSE_S
                )
                expected = isinstance(error, GainsayError | TraceUnavailable)
                log.warning(
                    "no move",
                    game=game.game_id,
                    because=f"{type(error).__name__}: {error}",
                    exc_info=not expected,
                )
        return moves

    def _is_to_wait(self, row: GameRow, head: Block) -> bool:
        if row.block_number > head.number:
            return True
        if row.game_id in self._moving:
            if self._dispatcher.carries(self._moving[row.game_id]):
                return True
            del self._moving[row.game_id]
        if (pause := self._pauses.get(row.game_id)) is not None and time.monotonic() < pause.until_s:
            return True
        touched, deadline, until = self._quiet.get(row.game_id, (-1, 0, 0))
        return touched == row.touched_block and head.timestamp <= deadline and head.timestamp < until

    def _play_one(self, row: GameRow, head: Block) -> bool:
        model = self._models.find(row.model_id)
        rules = ModelRules(0, 0, (), self._arity, (), (), 0) if model is None else model.rules(self._arity)
        state = read_game_state(self._contracts, row.game_id, rules, head)
        if state.resolved:
            return False
        # Without its model the game can still be ended when it is won: neither trace nor rules are needed for that.
        subject = None if model is None else self._subject(row, model, state, head)
        known, action = self._decide(state, subject, head)
        if action is None:
            if model is None:
                log.warning("no move", game=row.game_id, because="its model is not on this machine")
                self._be_quiet(row, head, min(state.game.deadline, head.timestamp + _LOOK_AGAIN_S))
            elif known:
                self._be_quiet(row, head, state.game.deadline)
            return False
        trace = None if subject is None else IdsOnly(subject.prompt_ids, subject.output_ids)
        call = call_of(action, state, self._contracts, trace, None if model is None else model.commitment)
        key = self._dispatcher.key_of(move_key(state, action))

        def done(result: Mined | ContractError) -> None:
            self._tell(state, action, result)

        self._dispatcher.submit(call, key, done)
        self._moving[row.game_id] = key
        self._pauses.pop(row.game_id, None)
        return True

    def _decide(self, state: GameState, subject: Subject | None, head: Block) -> tuple[bool, Action | None]:
        """(whether that is all there is to say, the move): by the stored trace, or as the tracer found out."""
        if subject is None or state.response_void or head.timestamp > state.game.deadline:
            ids = None if subject is None else IdsOnly(subject.prompt_ids, subject.output_ids)
            return True, next_action(state, Side.CHALLENGER, ids, head.timestamp)
        answered, action = self._tracer.answer(state)
        if answered:
            return True, action
        try:
            return True, next_action(state, Side.CHALLENGER, self._trace(subject), head.timestamp)
        except TraceNeeded:
            self._traces.pop(subject.name, None)
        try:
            return True, next_action(state, Side.CHALLENGER, self._trace(subject), head.timestamp)
        except TraceNeeded as needed:
            log.info("the model is run for a game", game=state.game_id, because=str(needed))
            self._tracer.ask(Question(state, subject, head.timestamp))
            return False, None

    def _trace(self, subject: Subject) -> StoredTrace:
        if subject.name not in self._traces:
            self._traces[subject.name] = self._files.load(
                subject.name, subject.prompt_ids, subject.output_ids, subject.model.commitment
            )
            if len(self._traces) > _READ_TRACES:
                self._traces.popitem(last=False)
        self._traces.move_to_end(subject.name)
        return self._traces[subject.name]

    def _subject(self, row: GameRow, model: LocalModel, state: GameState, head: Block) -> Subject | None:
        """The response's ids: listed, or shown on chain."""
        if row.game_id not in self._subjects:
            known = self._store.response(row.batch_id, row.index)
            ids = None if known is None else known.ids
            if ids is None:
                shown = shown_response(self._contracts, row.batch_id, row.index, head.number)
                if shown is None:
                    return None
                ids = unpack_token_ids(shown.prompt_ids), unpack_token_ids(shown.output_ids)
            self._subjects[row.game_id] = subject_of(
                row.model_id, model, *ids, unpack_sampling(state.game.sampling)
            )
        return self._subjects[row.game_id]

    def _be_quiet(self, row: GameRow, head: Block, deadline: int) -> None:
        # What the watcher saw after this block was not looked at yet.
        if row.touched_block <= head.number:
            self._quiet[row.game_id] = (row.touched_block, deadline, head.timestamp + _LOOK_AGAIN_S)

    def _forget_all_but(self, games: set[int]) -> None:
        for kept in (self._subjects, self._moving, self._pauses, self._quiet):
            for game_id in set(kept) - games:
                kept.pop(game_id)
        self._tracer.play_only(games, {subject.name for subject in self._subjects.values()})

    def _tell(self, state: GameState, action: Action, result: Mined | ContractError) -> None:
        facts = {"game": state.game_id, "move": type(action).__name__}
        if isinstance(result, ContractError):
            log.warning("move refused", **facts, because=str(result))
            return
        phase = state.game.phase.name.lower()
        log.info("moved", **facts, phase=phase, round=state.game.round, gas=result.gas_used)


def subject_of(
    model_id: bytes,
    model: LocalModel,
    prompt_ids: list[int],
    output_ids: list[int],
    sampling: Sampling | None,
) -> Subject:
    name = trace_name(model_id, prompt_ids, output_ids, sampling)
    return Subject(name, model, tuple(prompt_ids), tuple(output_ids), sampling)
