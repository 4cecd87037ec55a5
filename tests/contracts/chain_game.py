"""Complete games on a real chain, told as a story: a provider posts, a challenger opens, both play."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts, verifier_artifacts
from contracts.bindings.events import GameOpened
from contracts.bindings.moves import call_of, move_key, read_game_state
from contracts.bindings.openings import open_game
from contracts.bindings.registration import register_model
from contracts.bindings.sender import Sender
from contracts.protocol.actions import Action
from contracts.protocol.game import Game, ModelRules, Phase, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields, response_leaf
from contracts.protocol.trace import OwnTrace
from tests.contracts.local_chain import LocalChain
from tests.contracts.synthetic import NotProvable, SyntheticModel, seal_verifier_sources


def resume_provider(contracts: ProtocolContracts, owner: Sender) -> None:
    """What an owner does whose provider lost a response and is paused: a new bond."""
    stake, key = contracts.stake, secrets.token_hex(4)
    contracts.chain.request("evm_increaseTime", [1])  # not in the second of the loss
    owner.send(stake.deposit(stake.parameters().provider_bond), key=f"bond {key}")
    owner.send(stake.resume(), key=f"resume {key}")


@dataclass
class PostedBatch:
    batch_id: int
    salt: bytes
    tree: MerkleTree
    fields: list[ResponseFields]


@dataclass
class Arena:
    """A provider with a registered synthetic model, and a challenger."""

    local_chain: LocalChain
    contracts: ProtocolContracts
    model: SyntheticModel
    model_id: bytes
    provider: Sender
    challenger: Sender
    moves: list[tuple[Side, Action]] = field(default_factory=list)

    @classmethod
    def prepare(cls, local_chain: LocalChain, contracts: ProtocolContracts, model: SyntheticModel) -> Arena:
        provider, challenger = local_chain.sender(1), local_chain.sender(2)
        verifiers = verifier_artifacts(seal_verifier_sources(model.kind_names))
        model_id = register_model(provider, contracts, model, verifiers)
        provider.send(contracts.stake.deposit(100 * 10**18), key=f"stake {model_id.hex()}")
        return cls(local_chain, contracts, model, model_id, provider, challenger)

    @property
    def rules(self) -> ModelRules:
        return ModelRules.of(self.model, self.contracts.stake.parameters().arity)

    def resume(self) -> None:
        resume_provider(self.contracts, self.provider)

    def post(self, fields: Sequence[ResponseFields]) -> PostedBatch:
        """The provider posts, and resumes before if an earlier game's loss paused it."""
        if self.contracts.stake.is_paused(self.provider.address):
            self.resume()
        stake, needed = self.contracts.stake, len(fields) * DEVNET.lock_per_response
        if stake.free_stake(self.provider.address) < needed:  # what other tests lost of it
            self.provider.send(stake.deposit(10 * needed), key=f"stake {secrets.token_hex(4)}")
        salt = secrets.token_bytes(32)
        leaves = [
            response_leaf(
                self.contracts.chain.chain_id,
                self.contracts.ledger.address,
                self.provider.address,
                self.model_id,
                salt,
                index,
                item,
            )
            for index, item in enumerate(fields)
        ]
        tree = MerkleTree(leaves)
        call = self.contracts.ledger.post_batch(
            self.provider.address, tree.root, salt, self.model_id, len(fields)
        )
        self.provider.send(call, key=f"batch {salt.hex()}")
        batch_id = self.contracts.ledger.batch_of(self.provider.address, salt)
        return PostedBatch(batch_id, salt, tree, list(fields))

    def conceding(self, game_id: int) -> Call:
        """Giving up a game as it stands."""
        games = self.contracts.game
        return games.concede(game_id, games.game(game_id).about)

    def open(self, batch: PostedBatch, index: int) -> int:
        return self.open_as(self.challenger, batch, index)

    def open_as(self, sender: Sender, batch: PostedBatch, index: int) -> int:
        mined = open_game(
            self.contracts,
            sender,
            batch.batch_id,
            index,
            batch.fields[index],
            batch.tree.path(index),
            secret=secrets.token_bytes(32),
            key=f"open {batch.batch_id} {index} {secrets.token_hex(4)}",
        )
        opened = self.contracts.events.decode(mined.receipt.logs)
        return next(event.game_id for event in opened if isinstance(event, GameOpened))

    def play(
        self, game_id: int, provider: OwnTrace | None, challenger: OwnTrace | None, moves: int = 40
    ) -> Game:
        """Both sides by the honest player until the game is over."""
        traces = {Side.PROVIDER: provider, Side.CHALLENGER: challenger}
        for _ in range(moves):
            moved = [self.move(game_id, side, trace) for side, trace in traces.items()]
            if (game := self.contracts.game.game(game_id)).phase is Phase.RESOLVED:
                return game
            if not any(moved):
                self.local_chain.pass_time(DEVNET.clock + 1)
        raise AssertionError(f"the game does not end: {self.moves}")

    def move(self, game_id: int, side: Side, trace: OwnTrace | None) -> bool:
        """One side's move, if it has one that it can make."""
        sender = self.provider if side is Side.PROVIDER else self.challenger
        state = read_game_state(self.contracts, game_id, self.rules)
        action = next_action(state, side, trace, self.contracts.chain.head().timestamp)
        if action is None:
            return False
        try:
            call = call_of(action, state, self.contracts, trace, self.model)
        except NotProvable:
            return False
        sender.send(call, key=move_key(state, action))
        self.moves.append((side, action))
        return True
