"""What `gainsay dispute` does: the bots' steps, one at a time, for either side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.bindings.chain import Block
from contracts.bindings.errors import ContractError
from contracts.bindings.events import GameOpened
from contracts.bindings.moves import call_of, move_key, read_game_state, revealed_tokens
from contracts.bindings.sender import Mined, Sender
from contracts.protocol import actions
from contracts.protocol.game import Game, GameState, ModelRules, Phase, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.token_ids import unpack_token_ids
from contracts.protocol.trace import IdsOnly, OwnTrace, first_unknown_fed_id
from prover.errors import NotFoundError, UsageError

from .local_models import LocalModel
from .provider_client import BatchOnChain, ProviderClient
from .startup import Connection


class GameNotFound(NotFoundError):
    """No game, batch or response has this number."""


class NothingToDo(UsageError):
    """The rules leave this account no such move now."""


@dataclass
class DisputeDesk:
    """One account at one deployment. A model is needed only where something must be computed."""

    connection: Connection
    providers: dict[str, ProviderClient]
    model: LocalModel | None = None

    # --- looking

    def games(self) -> list[dict[str, Any]]:
        """Every game, newest last."""
        head = self._head()
        count = self.connection.contracts.game.game_count(block=head.number)
        return [self.describe(game_id, head) for game_id in range(1, count + 1)]

    def describe(self, game_id: int, head: Block | None = None) -> dict[str, Any]:
        """One game in plain words and numbers."""
        head = head or self._head()
        game = self._game(game_id, head)
        mover = game.mover
        return {
            "game": game_id,
            "batch": game.batch_id,
            "index": game.index,
            "provider": game.provider,
            "challenger": game.challenger,
            "model_id": "0x" + game.model_id.hex(),
            "phase": game.phase.name.lower(),
            "mover": None if mover is None else mover.name.lower(),
            "seconds_left": None if mover is None else max(0, game.deadline - head.timestamp),
            "deadline": game.deadline,
            "target": game.target.name.lower(),
            "round": game.round,
            "steps": [game.range_start, game.range_end],
            "window": game.window,
            "position": game.position,
            "chosen": game.chosen_id,
            "rival": game.rival_id,
            "bond_wei": str(game.bond),
            "outcome": game.outcome.name.lower(),
            "reason": game.reason.name.lower(),
            "boundaries": ["0x" + boundary.hex() for boundary in game.boundaries],
        }

    # --- doing

    def open(self, batch_id: int, index: int, *, reveal_requested: bool) -> tuple[int, Mined]:
        """Open a game on a response that the provider shows; its id."""
        contracts, sender = self.connection.contracts, self._sender
        try:
            batch = contracts.ledger.batch(batch_id)
        except ContractError as error:
            raise GameNotFound(f"there is no batch {batch_id} on this chain") from error
        shown = BatchOnChain(batch_id, batch.provider, batch.model_id, batch.root, batch.salt, batch.count)
        known = self._client(batch.provider).responses(
            shown, contracts.chain.chain_id, contracts.ledger.address
        )
        response = next((item for item in known if item.index == index), None)
        if response is None:
            raise GameNotFound(f"the provider shows no response {index} in batch {batch_id}")
        call = contracts.game.open(
            batch_id,
            index,
            response.fields,
            response.path,
            reveal_requested=reveal_requested,
            bond_wei=contracts.stake.parameters().challenger_bond,
        )
        mined = sender.send(call, key=f"open {response.leaf.hex()}")
        opened = contracts.events.decode(mined.receipt.logs)
        return next(event.game_id for event in opened if isinstance(event, GameOpened)), mined

    def play(self, game_id: int, chosen: actions.Action | None = None) -> tuple[actions.Action, Mined]:
        """Make a move: the one given, or what the honest player would do with this machine's model."""
        head = self._head()
        side = self._side(self._game(game_id, head))
        state = self._state(game_id, head)
        trace = self._trace(state, head)
        action = chosen or next_action(state, side, trace, head.timestamp)
        if action is None:
            mover = state.game.mover
            waiting = "the game is over" if mover is None else f"it is the {mover.name.lower()}'s move"
            hint = (
                "" if trace is not None else "; name the model with --model, so that the move can be computed"
            )
            raise NothingToDo(f"there is nothing to do in game {game_id}: {waiting}{hint}")
        return action, self._send(state, action, trace)

    def prove(self, game_id: int) -> tuple[actions.Action, Mined]:
        """The provider's proof. Raises `NothingToDo` unless the game waits for one."""
        game = self._game(game_id, self._head())
        if game.phase is not Phase.AWAIT_PROOF:
            raise NothingToDo(
                f"game {game_id} does not wait for a proof but is in phase {game.phase.name.lower()}"
            )
        return self.play(game_id)

    def resolve(self, game_id: int) -> tuple[actions.Action, Mined]:
        """End a game whose mover is out of time, or whose response is void. Anyone may."""
        head = self._head()
        state = self._state(game_id, head)
        if state.resolved:
            raise NothingToDo(f"game {game_id} is over already: {state.game.outcome.name.lower()}")
        if state.response_void:
            return actions.ResolveVoid(), self._send(state, actions.ResolveVoid(), None)
        if head.timestamp <= state.game.deadline:
            left = state.game.deadline - head.timestamp
            raise NothingToDo(f"game {game_id} cannot be ended yet: its mover has {left} s left")
        return actions.Timeout(), self._send(state, actions.Timeout(), None)

    # --- private

    def _send(self, state: GameState, action: actions.Action, trace: OwnTrace | None) -> Mined:
        commitment = self.model.commitment if self.model else None
        call = call_of(action, state, self.connection.contracts, trace, commitment)
        return self._sender.send(call, key=move_key(state, action))

    def _state(self, game_id: int, head: Block) -> GameState:
        contracts = self.connection.contracts
        game = self._game(game_id, head)
        spec = contracts.registry.spec(game.model_id)
        arity = contracts.stake.parameters().arity
        if self.model is None:
            rules = ModelRules(spec.step_count, spec.vocab_size, (), arity)
        elif (difference := self.model.difference(spec)) is not None:
            raise UsageError(
                f"{self.model.name} is not the model of game {game_id}: its {difference} differs"
            )
        else:
            rules = self.model.rules(arity)
        return read_game_state(contracts, game_id, rules, head)

    def _trace(self, state: GameState, head: Block) -> OwnTrace | None:
        if self.model is None:
            return None
        ids = self._ids(state, head)
        if ids is None:
            return None
        bare = IdsOnly(*ids)
        unknown = first_unknown_fed_id(bare, state.rules.vocab_size)
        return self.model.replay(*ids) if unknown is None else bare

    def _ids(self, state: GameState, head: Block) -> tuple[Sequence[int], Sequence[int]] | None:
        """The response's ids: from this challenger's memory, the chain, or the provider."""
        game, contracts = state.game, self.connection.contracts
        known = self.connection.store.response(game.batch_id, game.index)
        if known is not None and known.ids is not None:
            return known.ids
        if (revealed := revealed_tokens(contracts, state.game_id, head.number)) is not None:
            return unpack_token_ids(revealed[0]), unpack_token_ids(revealed[1])
        batch = contracts.ledger.batch(game.batch_id)
        shown = BatchOnChain(
            game.batch_id, batch.provider, batch.model_id, batch.root, batch.salt, batch.count
        )
        responses = self._client(batch.provider).responses(
            shown, contracts.chain.chain_id, contracts.ledger.address
        )
        return next((item.ids for item in responses if item.index == game.index), None)

    def _game(self, game_id: int, head: Block) -> Game:
        try:
            return self.connection.contracts.game.game(game_id, block=head.number)
        except ContractError as error:
            raise GameNotFound(f"there is no game {game_id}; see `gainsay dispute list`") from error

    def _side(self, game: Game) -> Side:
        if self._sender.address == game.provider:
            return Side.PROVIDER
        if self._sender.address == game.challenger:
            return Side.CHALLENGER
        raise UsageError(f"{self._sender.address} plays on neither side of this game; choose with --account")

    def _client(self, provider: str) -> ProviderClient:
        client = self.providers.get(provider) or self.providers.get("")
        if client is None:
            raise UsageError(f"no URL is known for the provider {provider}; name it with --provider")
        return client

    def _head(self) -> Block:
        return self.connection.contracts.chain.confirmed_head(self.connection.confirmations)

    @property
    def _sender(self) -> Sender:
        if self.connection.sender is None:
            raise UsageError("this needs an account; name one with --account or --keystore")
        return self.connection.sender
