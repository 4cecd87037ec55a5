"""A deployment with a past: batches, disputes that ended in every way, and one that runs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

from contracts.bindings.deployment import ProtocolContracts, deploy_protocol
from contracts.bindings.moves import read_game_state
from contracts.protocol.game import Game, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from contracts.protocol.trace import OwnTrace
from tests.contracts.chain_game import Arena, PostedBatch
from tests.contracts.local_chain import LocalChain
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace

_NAMES = ("keys and values", "attention", "attention output", "MLP")


class NamedModel(SyntheticModel):
    """A synthetic model whose steps have the names that people know."""

    def step_name(self, step: int) -> str:
        return f"{_NAMES[step % 4]} of layer {step // 4}"


@dataclass
class Stage:
    """Plays by hand, with time passing between moves."""

    arena: Arena
    prompt: list[int]
    output: list[int]
    wait_s: int = 4
    games: list[int] = field(default_factory=list)

    @classmethod
    def prepare(
        cls,
        local: LocalChain,
        *,
        steps: int = 90,
        tokens: int = 200,
        wait_s: int = 4,
        arity: int = DEVNET.arity,
    ) -> Stage:
        """A deployment of its own, a registered model, a provider with a stake."""
        rules = replace(DEVNET, challenge_window=3600, arity=arity)  # moves take time here
        deployment = deploy_protocol(local.sender(0), rules, key=f"explorer {secrets.token_hex(4)}")
        contracts = ProtocolContracts(local.chain, deployment)
        model = NamedModel(step_count=steps)
        prompt = [(7 * position) % 20 for position in range(tokens - 12)]
        return cls(Arena.prepare(local, contracts, model), prompt, model.generate(prompt, 13), wait_s)

    @property
    def contracts(self) -> ProtocolContracts:
        return self.arena.contracts

    @property
    def model(self) -> SyntheticModel:
        return self.arena.model

    def trace(self, wrong_from: tuple[int, int] | None = None) -> SyntheticTrace:
        return SyntheticTrace(self.model, self.prompt, self.output, wrong_from)

    def post(self, responses: int = 1) -> PostedBatch:
        """All responses are the same answer."""
        fields = ResponseFields.of(self.prompt, self.output, len(self.output), 0)
        return self.arena.post([fields] * responses)

    def open(self, batch: PostedBatch, index: int = 0) -> int:
        game = self.arena.open(batch, index)
        self.games.append(game)
        return game

    def play(
        self, game: int, provider: OwnTrace | None, challenger: OwnTrace | None, moves: int = 40
    ) -> Game:
        """At most so many moves by the honest player on both sides, then a timeout where nobody can move."""
        for _ in range(moves):
            state = read_game_state(self.contracts, game, self.arena.rules)
            if state.resolved or not self.step(game, provider, challenger):
                break
        return self.contracts.game.game(game)

    def step(self, game: int, provider: OwnTrace | None, challenger: OwnTrace | None) -> bool:
        """One move, by whoever has one."""
        self.arena.local_chain.pass_time(self.wait_s)
        for side, trace in ((Side.PROVIDER, provider), (Side.CHALLENGER, challenger)):
            if self.arena.move(game, side, trace):
                return True
        return False

    def time_out(self, game: int) -> None:
        """The turn runs out, and the side that waits says so."""
        self.arena.local_chain.pass_time(DEVNET.clock + DEVNET.prove_extension)
        state = read_game_state(self.contracts, game, self.arena.rules)
        now = self.contracts.chain.head().timestamp
        winner = Side.CHALLENGER if state.game.mover is Side.PROVIDER else Side.PROVIDER
        assert next_action(state, winner, self.trace(), now) is not None
        assert self.arena.move(game, winner, self.trace())
