"""A malicious challenger disputes a right answer. The provider proves the one step that it points at, and is paid."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np

from challenger.provider_client import BatchOnChain
from contracts.bindings.contract import Call
from contracts.bindings.moves import posted_boundaries
from contracts.bindings.openings import open_game
from contracts.protocol.bisection import cuts
from contracts.protocol.claims import claim_of, leaves_of_input, leaves_of_step
from contracts.protocol.game import Game, ModelRules, Phase, Target
from prover.model.execute import Executor

from .result import ScenarioResult
from .stage import Posted, Stage

MAX_TOKENS = 16
MALICIOUS = "spare 4"


@dataclass(frozen=True)
class Aim:
    """What the liar pretends is wrong: a window of a step or of the embedding, or a head pair."""

    target: Target
    step: int = 0
    window: int = 0
    position: int = 0
    rival: int = 0


class FalseChallenger:
    """Opens a game about a right response and steers it to its aim, whatever the provider posts.

    Of every window but that of its aim it claims the truth, so that this one has to be proven.
    """

    def __init__(self, stage: Stage, posted: Posted, aim: Aim) -> None:
        self._stage, self._posted, self._aim = stage, posted, aim
        self._sender = stage.sender(MALICIOUS)
        contracts = stage.contracts
        batch = contracts.ledger.batch(posted.batch_id)
        on_chain = BatchOnChain(
            posted.batch_id, batch.provider, batch.model_id, batch.root, batch.salt, batch.count
        )
        shown = stage.providers.responses(on_chain, stage.chain.chain_id, contracts.ledger.address)
        self._response = shown[posted.index]
        self._moves = 0
        open_game(
            contracts,
            self._sender,
            posted.batch_id,
            posted.index,
            self._response.fields,
            self._response.path,
            secret=secrets.token_bytes(32),
            key=f"open batch {posted.batch_id} response {posted.index}",
        )
        self.game_id = contracts.game.game_count()

    def step(self) -> None:
        """Move if it is its turn."""
        game = self._stage.contracts.game.game(self.game_id)
        if game.phase is Phase.AWAIT_CHALLENGE:
            self._send(self._challenge(game))

    def _challenge(self, game: Game) -> Call:
        moves, aim = self._stage.contracts.game, self._aim
        boundaries = posted_boundaries(self._stage.contracts, self.game_id)
        if aim.target is Target.EMBEDDING:
            return moves.challenge_input(self.game_id, boundaries, self._claim(boundaries[0]))
        ids = self._response.ids
        assert ids is not None
        if aim.target is Target.HEAD:
            return moves.challenge_head(self.game_id, boundaries, aim.position, aim.rival, *ids)
        ends = cuts(game.range_start, game.range_end, self._stage.contracts.stake.parameters().arity)
        part = next(number for number, end in enumerate(ends[1:]) if aim.step < end)
        claim = self._claim(boundaries[part + 1]) if ends[part + 1] - ends[part] == 1 else b""
        return moves.challenge_part(self.game_id, boundaries, part, claim)

    def _claim(self, posted: bytes) -> bytes:
        stage, aim, ids = self._stage, self._aim, self._response.ids
        assert ids is not None
        truth = stage.replay(*ids)
        if aim.target is Target.EMBEDDING:
            leaves = leaves_of_input(truth, posted)
        else:
            rules = ModelRules.of(stage.prepared.commitment, stage.contracts.stake.parameters().arity)
            access = rules.step_access(truth.step_kind(aim.step))
            leaves = leaves_of_step(truth, access, aim.step, posted)
        leaves[aim.window] = None  # which becomes something else
        return claim_of(leaves)

    def _send(self, call: Call) -> None:
        self._moves += 1
        self._sender.send(call, key=f"batch {self._posted.batch_id} move {self._moves}")


def mlp(stage: Stage) -> ScenarioResult:
    """Must end `provider_wins`, with an MLP step proven."""
    config = stage.prepared.model.config
    step = config.step_with("w_down", config.layers // 2)
    return _false_challenge(stage, "false-challenge-mlp", "Name three primary colours.", step)


def attention(stage: Stage) -> ScenarioResult:
    """Must end `provider_wins`, with an attention step of the last window proven."""
    config = stage.prepared.model.config
    step = config.step_with("w_output", config.layers // 3)
    return _false_challenge(stage, "false-challenge-attention", "Why is the sky blue?", step)


def head(stage: Stage) -> ScenarioResult:
    """Must end `provider_wins`, with the token proven to beat the runner-up."""
    return _false_challenge(stage, "false-challenge-head", "Which planet is closest to the sun?", None)


def _false_challenge(stage: Stage, name: str, prompt: str, step: int | None) -> ScenarioResult:
    house = stage.honest_provider()
    book = stage.open_book(provider="provider", challenger=MALICIOUS)
    answered, posted = stage.ask(house, prompt, MAX_TOKENS)
    aim = _aim(stage, posted, step)
    liar = FalseChallenger(stage, posted, aim)
    stage.tell("a malicious challenger disputes it")
    game = stage.play_out(liar.game_id, None, liar)
    result = stage.dispute_result(name, answered, game, book, house)
    stage.tell(f"{result.outcome}: {game.reason.name.lower()}")
    if game.target is not aim.target or (step is not None and game.range_start != step):
        result.problem = f"it was narrowed to {result.contested}"
    return result


def _aim(stage: Stage, posted: Posted, step: int | None) -> Aim:
    """The last window of a step, or the middle output token against the model's second choice."""
    shown = stage.store.response(posted.batch_id, posted.index)
    if shown is None or shown.ids is None:
        stage.play(
            lambda: (row := stage.store.response(posted.batch_id, posted.index)) is not None and bool(row.ids)
        )
        shown = stage.store.response(posted.batch_id, posted.index)
    assert shown is not None and shown.ids is not None
    prompt_ids, output_ids = shown.ids
    replay = stage.replay(prompt_ids, output_ids)
    if step is not None:
        return Aim(Target.STEP, step, replay.windows - 1)
    offset = len(output_ids) // 2
    position = len(prompt_ids) - 1 + offset
    executor = Executor(stage.prepared.model)
    row = replay.trace.stream(replay.trace.steps)[position : position + 1]
    order = np.argsort(-executor.logits(row, position)[0], kind="stable")
    rival = next(int(token) for token in order if int(token) != output_ids[offset])
    return Aim(Target.HEAD, position=position, rival=rival)
