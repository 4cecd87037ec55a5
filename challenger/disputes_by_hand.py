"""Disputes played by hand: the same moves as the bots', one at a time and for either side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address

from contracts.bindings.chain import Block
from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError
from contracts.bindings.events import GameOpened
from contracts.bindings.fees import Forecast
from contracts.bindings.inference_ledger import Batch
from contracts.bindings.moves import call_of, move_key, read_game_state, shown_response
from contracts.bindings.openings import bond_to_send, commitment_of, is_under_way, when_committed
from contracts.bindings.results import Mined
from contracts.bindings.sender import Sender
from contracts.protocol.actions import (
    Action,
    ChallengeHead,
    ChallengeInput,
    ChallengePart,
    ProveEmbedding,
    ProveHead,
    ProveStep,
    RefuteClaim,
    ResolveVoid,
    Timeout,
)
from contracts.protocol.claims import claim_of, leaves_of_input
from contracts.protocol.clock_text import show_span
from contracts.protocol.ether import show_ether
from contracts.protocol.game import Game, GameState, ModelRules, Phase, Side, Target
from contracts.protocol.honest_player import challenge_part, next_action
from contracts.protocol.model import ModelSpec
from contracts.protocol.opening import opening_secret
from contracts.protocol.sampling import unpack_sampling
from contracts.protocol.token_ids import unpack_token_ids
from contracts.protocol.trace import IdsOnly, OwnTrace
from prover.errors import BadInputError, NotFoundError, UsageError
from prover.foreign_json import read_json_file

from .errors import ProviderUnreachable
from .foreign_listing import hash_bytes, receipt_place
from .local_models import LocalModel
from .provider_client import BatchOnChain, KnownResponse, ProviderBook

Ids = tuple[list[int], list[int]]
#: Told what a transaction would cost, and raises where nobody agrees.
Consent = Callable[[str], None]
#: Gas of `commitOpening` and `open` with the sender's margin (snapshots/GasPerMove.json), which cannot be estimated before
#: the commitment is there.
_OPENING_GAS = 420_000


class NothingToDo(UsageError):
    """The rules leave this account no such move now."""


@dataclass(frozen=True)
class Sent:
    """A move that is on chain."""

    game_id: int
    move: str
    mined: Mined
    commit: Mined | None = None  # an opening's first transaction, when it was made now

    def as_json(self) -> dict[str, Any]:
        commit = {} if self.commit is None else {"commit": self.commit.as_json()}
        return {"game": self.game_id, "move": self.move, **self.mined.as_json(), **commit}


@dataclass(frozen=True)
class Asked:
    """A transaction about a response that is no move of a game, on chain; `status` is what holds after it."""

    batch_id: int
    index: int
    move: str
    status: dict[str, Any]
    mined: Mined

    def as_json(self) -> dict[str, Any]:
        done = {"move": self.move, **self.mined.as_json()}
        return {"batch": self.batch_id, "index": self.index, **done, **self.status}


class DisputeTable:
    """The games of one deployment. `providers` are asked for what the chain does not hold; the secrets of openings
    follow from `secret`, the store's."""

    def __init__(self, contracts: ProtocolContracts, providers: ProviderBook, secret: bytes) -> None:
        self._contracts, self._providers, self._secret = contracts, providers, secret

    # --- looking

    def games(self, *, open_only: bool = False, account: str | None = None) -> list[tuple[int, Game]]:
        """All games, oldest first; only an account's own when one is named."""
        games = self._contracts.game
        found = [(number, games.game(number)) for number in range(1, games.game_count() + 1)]
        return [
            (number, game)
            for number, game in found
            if not (open_only and game.phase is Phase.RESOLVED)
            and (account is None or account.lower() in (game.provider.lower(), game.challenger.lower()))
        ]

    def game(self, game_id: int) -> Game:
        """Raises `NotFoundError`."""
        try:
            return self._contracts.game.game(game_id)
        except ContractError as error:
            raise NotFoundError(f"there is no game {game_id}; `gainsay dispute list` shows all") from error

    def head(self) -> Block:
        return self._contracts.chain.head()

    # --- opening

    def open(self, sender: Sender, batch_id: int, index: int, consent: Consent = lambda _: None) -> Sent:
        """Stake a bond on a response being wrong: commit, wait for the next block, open. Interrupted and typed again it
        goes on where it was. Raises `NotFoundError`, `ProviderUnreachable`, `ContractError`."""
        response = self.response(batch_id, index)
        contracts = self._contracts
        batch = self.batch(batch_id)
        secret = opening_secret(self._secret, batch.root, index)
        bond_wei = bond_to_send(contracts, batch.provider)
        call = contracts.game.open(batch_id, index, response.fields, response.path, secret, bond_wei=bond_wei)
        commitment = commitment_of(contracts, sender.address, batch_id, index, secret)
        commit = None
        if not is_under_way(sender, call):
            is_committed = bool(contracts.ledger.opening_block(commitment))
            cost = (
                sender.prices.forecast(call)
                if is_committed
                else sender.prices.forecast(None, more_gas=_OPENING_GAS)
            )
            lock = show_ether(bond_wei)
            consent(
                f"disputing response {index} of batch {batch_id} stakes a bond of {lock}, which a lost game loses, and "
                f"costs {gas_text(cost)}"
            )
            if not is_committed:
                call_to_commit = contracts.ledger.commit_opening(commitment)
                commit = sender.send_next(call_to_commit, f"commit {commitment.hex()}")
        # One account may open several games about a response, and a bot of the same account may open one meanwhile.
        mined = when_committed(lambda: sender.send_by_hand(call, f"open {response.leaf.hex()}")[0])
        opened = contracts.events.decode(
            [log for log in mined.receipt.logs if log.address == contracts.game.address]
        )
        number = next(event.game_id for event in opened if isinstance(event, GameOpened))
        return Sent(number, "Open", mined, commit)

    def join(self, sender: Sender, batch_id: int, index: int) -> Asked:
        """Be paid for an opening that was committed before the response became void. Raises `NotFoundError`,
        `ContractError`."""
        secret = opening_secret(self._secret, self.batch(batch_id).root, index)
        call = self._contracts.ledger.join(batch_id, index, secret)
        mined, _ = sender.send_by_hand(call, f"join {batch_id} {index}")
        return Asked(batch_id, index, "Join", self.status(batch_id, index), mined)

    def close_rewards(self, sender: Sender, batch_id: int, index: int) -> Asked:
        """Burn the rewards of a void response that nobody claimed in time. Raises `NotFoundError`, `ContractError`."""
        self.batch(batch_id)
        call = self._contracts.ledger.close_rewards(batch_id, index)
        mined, _ = sender.send_by_hand(call, f"close rewards {batch_id} {index}")
        return Asked(batch_id, index, "CloseRewards", self.status(batch_id, index), mined)

    def response(self, batch_id: int, index: int) -> KnownResponse:
        """What the chain shows, because somebody asked for it, or the provider's listing. Raises `NotFoundError`,
        `UsageError`, `ProviderUnreachable`."""
        batch = self.batch(batch_id)
        shown = shown_response(self._contracts, batch_id, index, self.head().number)
        if shown is not None:
            ids = tuple(unpack_token_ids(shown.prompt_ids)), tuple(unpack_token_ids(shown.output_ids))
            return KnownResponse(index, shown.leaf, shown.fields, tuple(shown.path), ids)
        if not self._providers.of(batch.provider):
            raise UsageError(f"no URL of {batch.provider} is known; name it with --provider")
        on_chain = BatchOnChain(batch_id, batch.provider, batch.model_id, batch.root, batch.salt, batch.count)
        known = self._providers.responses(
            on_chain, self._contracts.chain.chain_id, self._contracts.ledger.address
        )
        found = next((response for response in known if response.index == index), None)
        if found is None:
            raise NotFoundError(
                f"the provider shows no response {index} in batch {batch_id}; "
                f"`gainsay dispute ask {batch_id} {index}` makes it show it on chain or lose it"
            )
        return found

    def batch(self, batch_id: int) -> Batch:
        """Raises `NotFoundError`."""
        try:
            return self._contracts.ledger.batch(batch_id)
        except ContractError as error:
            raise NotFoundError(f"there is no batch {batch_id} on this ledger") from error

    # --- looking at what is hidden

    def ask(self, sender: Sender, batch_id: int, index: int) -> Asked:
        """Pay for a response to be shown on chain. Raises `NotFoundError`, `ContractError`."""
        self.batch(batch_id)
        price_wei = self._contracts.stake.parameters().ask_price
        call = self._contracts.ledger.ask(batch_id, index, price_wei)
        mined, _ = sender.send_by_hand(call, f"ask {batch_id} {index}")
        return Asked(batch_id, index, "Ask", self.status(batch_id, index), mined)

    def place_of_receipt(self, path: Path) -> tuple[int, int]:
        """Batch and index of the response that a receipt is about. Raises `BadInputError`, `NotFoundError`."""
        try:
            place = receipt_place(read_json_file(path))
        except OSError as error:
            raise NotFoundError(f"{path} cannot be read ({error.strerror}); name a receipt's file") from error
        if place is None:
            raise BadInputError(f"{path} is no receipt; save what GET /v1/receipts/ID answers")
        provider, salt = to_checksum_address(place.provider), hash_bytes(place.batch_salt)
        batch_id = self._contracts.ledger.batch_of(provider, salt)
        if not batch_id or place.index >= self.batch(batch_id).count:
            raise NotFoundError(
                f"the receipt's response is in no batch of {provider} on this ledger; wait until its posting deadline, "
                "after which it can be claimed"
            )
        return batch_id, place.index

    def claim_not_shown(self, sender: Sender, batch_id: int, index: int) -> Asked:
        """End an ask that was not answered: the asker, whoever sends this, gets its price and is paid like a game.

        Raises `NotFoundError`, `ContractError`.
        """
        self.batch(batch_id)
        call = self._contracts.ledger.claim_not_shown(batch_id, index)
        mined, _ = sender.send_by_hand(call, f"claim not shown {batch_id} {index}")
        return Asked(batch_id, index, "ClaimNotShown", self.status(batch_id, index), mined)

    def status(self, batch_id: int, index: int) -> dict[str, Any]:
        """Whether a response is asked for, until when, or shown, as JSON."""
        response = self._contracts.ledger.response(batch_id, index)
        status = self._contracts.ledger.response_status(batch_id, index)
        return {
            "status": status.name.lower(),
            "asker": response.asker if response.is_asked_for else None,
            "show_deadline": response.show_deadline if response.is_asked_for else None,
            "shown": response.shown,
            "empty_until": response.empty_until or None,
        }

    # --- moving

    def state(self, game_id: int, rules: ModelRules | None = None) -> GameState:
        """The game at the newest block. Without the model's rules only moves that need none can be made."""
        game = self.game(game_id)
        arity = self._contracts.stake.parameters().arity
        spec = self._contracts.registry.spec(self._model_of(game))
        return read_game_state(self._contracts, game_id, rules or ModelRules.of_spec(spec, arity))

    def spec(self, game_id: int) -> ModelSpec:
        """What is registered of the model that the game is about."""
        return self._contracts.registry.spec(self._model_of(self.game(game_id)))

    def _model_of(self, game: Game) -> bytes:
        return self._contracts.ledger.model_of(game.batch_id)

    def side(self, game: Game, account: str) -> Side:
        """Raises `UsageError` when the account is none of the two."""
        if account == game.challenger:
            return Side.CHALLENGER
        if account == game.provider:
            return Side.PROVIDER
        raise UsageError(
            f"{account} is neither side of this game; use the key of {game.challenger} or {game.provider}"
        )

    def send(
        self,
        sender: Sender,
        game_id: int,
        action: Action,
        models: Iterable[LocalModel] = (),
        consent: Consent = lambda _: None,
    ) -> Sent:
        """Make a named move; where it comes with a claim, with what one of the `models` computes. Raises `ContractError` when the
        game does not allow it, and `NotFoundError` without the ids or the model that it needs."""
        state = self.state(game_id)
        action = self._with_claim(game_id, action, state, models)
        trace = None if (ids := self._ids(game_id, state.game)) is None else IdsOnly(*ids)
        if trace is None and isinstance(action, ChallengeHead):
            raise _ids_unknown(state.game)
        return self._move(
            sender, game_id, action, call_of(action, state, self._contracts, trace, None), state, consent
        )

    def _with_claim(
        self, game_id: int, action: Action, state: GameState, models: Iterable[LocalModel]
    ) -> Action:
        """A challenge of the input or of one step says what all its windows should be. What the game refuses anyway is left to it."""
        if state.boundaries is None:
            return action
        match action:
            case ChallengePart(part) if part + 1 < len(state.cuts):
                start, end = state.cuts[part : part + 2]
                if end - start > 1:
                    return action
                return challenge_part(state, self._known_trace(game_id, state.game, models), part)
            case ChallengeInput():
                trace = self._known_trace(game_id, state.game, models)
                return ChallengeInput(claim_of(leaves_of_input(trace, state.boundaries[0])))
        return action

    def _known_trace(self, game_id: int, game: Game, models: Iterable[LocalModel]) -> OwnTrace:
        if (trace := self._trace(game_id, game, self._model(game, models))) is None:
            raise _ids_unknown(game)
        return trace

    def require_turn(self, account: str, game_id: int) -> None:
        """Raises `NothingToDo` when the other side has to move and still has time: cheap, before a model is loaded."""
        game = self.game(game_id)
        late = game.mover is not None and self.head().timestamp > game.deadline
        if game.mover is not self.side(game, account) and not late:
            raise NothingToDo(self._why_waiting(game_id, game))

    def honest_move(
        self,
        sender: Sender,
        game_id: int,
        models: Iterable[LocalModel],
        *,
        proof_only: bool = False,
        consent: Consent = lambda _: None,
    ) -> Sent:
        """Make the move that an honest player would make now.

        With `proof_only` anything but a proof, or a claim's refutation in its place, is refused. Raises `NothingToDo`, and `NotFoundError` without the
        model.
        """
        game = self.game(game_id)
        side = self.side(game, sender.address)
        model = self._model(game, models)
        state = self.state(game_id, model.rules(self._contracts.stake.parameters().arity))
        trace = self._trace(game_id, game, model)
        action = next_action(state, side, trace, self.head().timestamp)
        if proof_only and not isinstance(action, ProveStep | ProveEmbedding | ProveHead | RefuteClaim):
            if game.mover is not None and self.head().timestamp > game.deadline:
                raise NothingToDo(self._why_waiting(game_id, game))
            raise NothingToDo(
                f"no proof is due in game {game_id} (phase {game.phase.name.lower()}"
                + (f", the honest move is {type(action).__name__})" if action else ")")
            )
        if action is None:
            raise NothingToDo(self._why_waiting(game_id, game, needs_ids=trace is None))
        call = call_of(action, state, self._contracts, trace, model.commitment)
        return self._move(sender, game_id, action, call, state, consent)

    def _move(
        self, sender: Sender, game_id: int, action: Action, call: Call, state: GameState, consent: Consent
    ) -> Sent:
        name = type(action).__name__
        consent(f"{name} in game {game_id} costs {gas_text(sender.prices.forecast(call))}")
        return Sent(game_id, name, sender.send(call, key=move_key(state, action)))

    def resolve(self, sender: Sender, game_id: int) -> Sent:
        """End a void response's game, or one whose turn is over. Raises `NothingToDo` while neither is so."""
        state = self.state(game_id)
        action: Action
        if state.response_void and not state.resolved:
            action = ResolveVoid()
        elif not state.resolved and self.head().timestamp > state.game.deadline:
            action = Timeout()
        else:
            raise NothingToDo(self._why_waiting(game_id, state.game))
        return self.send(sender, game_id, action)

    def _why_waiting(self, game_id: int, game: Game, *, needs_ids: bool = False) -> str:
        if game.mover is None:
            outcome = f"{game.outcome.name} ({game.reason.name})".lower().replace("_", " ")
            return f"game {game_id} is over already: {outcome}"
        left = game.deadline - self.head().timestamp
        if left < 0:
            return f"the time of game {game_id}'s {game.mover.name.lower()} is over; `gainsay dispute resolve {game_id}` ends it"
        waiting = f"game {game_id} waits for the {game.mover.name.lower()}'s move"
        hint = "; the token ids are needed for it: name --provider" if needs_ids else ""
        return f"{waiting} ({game.phase.name.lower()}, {show_span(left)} left){hint}"

    def _model(self, game: Game, models: Iterable[LocalModel]) -> LocalModel:
        """The disputed one. Raises `NotFoundError`."""
        model_id = self._model_of(game)
        spec = self._contracts.registry.spec(model_id)
        model = next((model for model in models if spec.difference(model.commitment) is None), None)
        if model is None:
            raise NotFoundError(
                f"model 0x{model_id.hex()} is not among the named ones, nor, where none was named, on this machine; "
                "name it with --model, or import it (`gainsay model import`)"
            )
        return model

    def _trace(self, game_id: int, game: Game, model: LocalModel) -> OwnTrace | None:
        ids = self._ids(game_id, game)
        return None if ids is None else model.replay(*ids, unpack_sampling(game.sampling))

    def _ids(self, game_id: int, game: Game) -> Ids | None:
        """Token ids that the chain or the provider shows."""
        try:
            shown = self.response(game.batch_id, game.index).ids
        except (ProviderUnreachable, NotFoundError, UsageError):
            return None
        return None if shown is None else (list(shown[0]), list(shown[1]))

    # --- showing

    def describe(self, game_id: int, game: Game) -> dict[str, Any]:
        """A game as JSON."""
        resolved, now = game.phase is Phase.RESOLVED, self.head().timestamp
        facts: dict[str, Any] = {
            "game": game_id,
            "batch": game.batch_id,
            "index": game.index,
            "provider": game.provider,
            "challenger": game.challenger,
            "model_id": "0x" + self._model_of(game).hex(),
            "phase": game.phase.name.lower(),
            "mover": None if game.mover is None else game.mover.name.lower(),
            "deadline": None if resolved else game.deadline,
            "seconds_left": None if resolved else game.deadline - now,
            "now": now,
            "round": game.round,
            "steps": [game.range_start, game.range_end],
            "contested": self._contested(game),
            "bond_wei": str(game.bond),
            "outcome": game.outcome.name.lower(),
            "reason": game.reason.name.lower(),
            "response": self.status(game.batch_id, game.index),
        }
        if game.phase is Phase.AWAIT_CHALLENGE and (state := self.state(game_id)).boundaries is not None:
            posted = ["0x" + boundary.hex() for boundary in state.boundaries]
            facts["boundaries"] = dict(zip(map(str, state.cuts), posted, strict=True))
        return facts

    def _contested(self, game: Game) -> dict[str, Any] | None:
        if game.target is Target.STEP:
            return {"step": game.range_start}
        if game.target is Target.EMBEDDING:
            return {"step": "embedding"}
        if game.target is Target.HEAD:
            return {
                "step": "head",
                "position": game.position,
                "chosen": game.chosen_id,
                "rival": game.rival_id,
            }
        return None


def _ids_unknown(game: Game) -> NotFoundError:
    return NotFoundError(
        "the token ids are not known; name --provider, or make it show them with "
        f"`gainsay dispute ask {game.batch_id} {game.index}`"
    )


def gas_text(cost: Forecast) -> str:
    return f"about {cost.gas:,} gas, {show_ether(cost.fee_wei)} at today's fee (at most {show_ether(cost.highest_fee_wei)})"
