"""Plays the challenger's own games to their end, by the honest player."""

from __future__ import annotations

from collections import OrderedDict

import structlog

from contracts.bindings.chain import Block
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import BindingsError
from contracts.bindings.moves import call_of, move_key, read_game_state, revealed_tokens
from contracts.bindings.sender import Sender
from contracts.protocol.game import Game, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.token_ids import unpack_token_ids
from contracts.protocol.trace import IdsOnly, OwnTrace, TraceUnavailable, first_unknown_fed_id
from prover.errors import GainsayError

from .local_models import LocalModel, ModelFinder
from .store import GameRow, Store

log = structlog.get_logger(__name__)
_KEPT_TRACES = 4  # a trace of the reference model is tens of megabytes


class GamePlayer:
    """Makes at most one move per game and call; every move is a fresh look at a confirmed block."""

    def __init__(
        self, contracts: ProtocolContracts, sender: Sender, store: Store, models: ModelFinder, arity: int
    ) -> None:
        self._contracts = contracts
        self._sender = sender
        self._store = store
        self._models = models
        self._arity = arity
        self._traces: OrderedDict[int, OwnTrace] = OrderedDict()

    def play(self, head: Block) -> int:
        """One move in every open game where one is due; the number of moves."""
        moves = 0
        for game in self._store.games(open_only=True):
            try:
                moves += self._play_one(game, head)
            except (GainsayError, TraceUnavailable) as error:
                # One game must not stop the others; the next call looks at it again.
                log.warning("no move", game=game.game_id, because=str(error))
        return moves

    def _play_one(self, row: GameRow, head: Block) -> bool:
        if row.block_number > head.number:
            return False
        game = self._contracts.game.game(row.game_id, block=head.number)
        model = self._models.find(game.model_id)
        if model is None:
            log.warning("no move", game=row.game_id, because="its model is not on this machine")
            return False
        state = read_game_state(self._contracts, row.game_id, model.rules(self._arity), head)
        if state.resolved:
            return False
        trace = self._trace(row, game, model, head)
        action = next_action(state, Side.CHALLENGER, trace, head.timestamp)
        if action is None:
            return False
        call = call_of(action, state, self._contracts, trace, model.commitment)
        try:
            mined = self._sender.send(call, key=move_key(state, action))
        except BindingsError as error:
            log.warning("move refused", game=row.game_id, move=type(action).__name__, because=str(error))
            return False
        log.info(
            "moved",
            game=row.game_id,
            move=type(action).__name__,
            phase=state.game.phase.name.lower(),
            round=state.game.round,
            gas=mined.gas_used,
        )
        return True

    def _trace(self, row: GameRow, game: Game, model: LocalModel, head: Block) -> OwnTrace | None:
        """The own trace over the response's ids: known before, or revealed in this game."""
        if row.game_id in self._traces:
            self._traces.move_to_end(row.game_id)
            return self._traces[row.game_id]
        ids = self._ids(row, head)
        if ids is None:
            return None
        trace: OwnTrace = IdsOnly(*ids)
        if first_unknown_fed_id(trace, model.commitment.vocabulary) is None:
            trace = model.replay(*ids)
        self._traces[row.game_id] = trace
        if len(self._traces) > _KEPT_TRACES:
            self._traces.popitem(last=False)
        return trace

    def _ids(self, row: GameRow, head: Block) -> tuple[list[int], list[int]] | None:
        known = self._store.response(row.batch_id, row.index)
        if known is not None and known.ids is not None:
            return known.ids
        revealed = revealed_tokens(self._contracts, row.game_id, head.number)
        return None if revealed is None else (unpack_token_ids(revealed[0]), unpack_token_ids(revealed[1]))
