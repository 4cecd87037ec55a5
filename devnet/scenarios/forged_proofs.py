"""A cheating provider that does not give up: it sends proofs of other things, and the contract refuses each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from contracts.bindings.contract import Call
from contracts.bindings.dispute_game import ShownClaim, StepProof
from contracts.bindings.errors import ContractError
from contracts.bindings.moves import read_game_state, step_proof
from contracts.protocol.claims import first_difference, leaves_of_step
from contracts.protocol.game import Game, ModelRules, Phase, Reason, Target
from contracts.protocol.token_ids import unpack_token_ids
from prover.committed_values import commit_step_key
from prover.model.weights import IntegerModel
from prover.model_commitment import padded_weights
from prover.proof_system import ProofSystem
from prover.replay import Replay

from .cheap_weights import ask_until_wrong, requantised
from .hosted_provider import HostedProvider, StagedProvider
from .result import RefusedProof, ScenarioResult
from .stage import Stage

#: More than any proof needs: a malformed point makes a precompile burn nearly all the gas that it is given.
_GAS = 5_000_000
MATRICES = ("w_gate", "w_up", "w_down")


@dataclass(frozen=True)
class Forgery:
    """A proof that is valid for something, or nearly, presented for the contested step."""

    what: str
    proof: StepProof


class Forger(HostedProvider):
    """Plays honestly down to the proof, then sends every forgery it can think of."""

    def __init__(self, provider: StagedProvider, name: str, stage: Stage, cheap: IntegerModel) -> None:
        super().__init__(provider, name)
        self.stage, self.cheap = stage, cheap
        self.refused: list[RefusedProof] = []
        self.accepted: list[str] = []

    def defend(self) -> None:
        """One round: forge when a proof is due, else what the node does."""
        for event in self.provider.journal.open_games():
            assert event.game_id is not None
            game = self.stage.contracts.game.game(event.game_id)
            if game.provider != self.address or game.phase is not Phase.AWAIT_PROOF:
                continue
            if game.target is Target.STEP:
                if not self.refused:
                    self._forge(event.game_id, game)
                return
        super().defend()

    def _forge(self, game_id: int, game: Game) -> None:
        contracts, prepared = self.stage.contracts, self.stage.prepared
        rules = ModelRules.of(prepared.commitment, contracts.stake.parameters().arity)
        claim = read_game_state(contracts, game_id, rules).claim
        assert claim is not None
        cheap = Replay(self.cheap, prepared.commitment, prepared.srs, *self._ids(game))
        access = rules.step_access(cheap.step_kind(game.range_start))
        end = cheap.boundary_hash(game.range_end)
        window = first_difference(claim, leaves_of_step(cheap, access, game.range_start, end))
        assert window is not None
        for forgery in self._forgeries(game, rules, cheap, window):
            call = contracts.game.prove_step(game_id, forgery.proof, ShownClaim.of(claim, window))
            gas, error = self._send(call)
            if error is None:
                self.accepted.append(forgery.what)
                return
            self.refused.append(RefusedProof(forgery.what, error, gas))
            self.stage.tell(f"forged proof ({forgery.what}): refused with {error}")

    def _ids(self, game: Game) -> tuple[list[int], list[int]]:
        found = self.provider.journal.response_at(game.batch_id, game.index)
        assert found is not None
        row = found[1]
        return unpack_token_ids(row.prompt_ids), unpack_token_ids(row.output_ids)

    def _forgeries(self, game: Game, rules: ModelRules, cheap: Replay, window: int) -> Iterator[Forgery]:
        """In the order of how hard they are to tell from a real one. window: one of which something else is claimed."""
        stage, step = self.stage, game.range_start
        prepared = stage.prepared
        scheduled = prepared.model.config.schedule[step]
        ids = self._ids(game)
        honest = stage.replay(*ids)
        others = [
            (abs(other.layer - scheduled.layer), other.layer, number)
            for number, other in enumerate(prepared.model.config.schedule)
            if (other.kind, other.tile) == (scheduled.kind, scheduled.tile) and other.layer != scheduled.layer
        ]
        *_, other_layer = min(others)
        other_window = window + 1 if window + 1 < honest.windows else window - 1
        shown = step_proof(rules, cheap, prepared.commitment, step, window)
        real = replace(shown, proof=honest.prove_step(step, window))
        yield Forgery("the honest model's proof of this very step and window", real)
        yield Forgery(
            "the same, with the honest model's windows",
            replace(real, roots_after=honest.stream_roots(step + 1)),
        )
        if other_window >= 0:
            yield Forgery("another window", replace(real, proof=honest.prove_step(step, other_window)))
        of_other_layer = honest.prove_step(other_layer, window)
        yield Forgery("another layer", replace(real, proof=of_other_layer))
        yield Forgery(
            "another layer, with that layer's key",
            replace(
                real,
                key=prepared.commitment.step_keys[other_layer],
                key_path=prepared.commitment.step_key_path(other_layer),
                proof=of_other_layer,
            ),
        )
        key = commit_step_key(
            ProofSystem(self.cheap.config, prepared.srs).verifying_key(scheduled.kind).plan,
            prepared.srs,
            self.cheap.layer_parameters(scheduled.layer, scheduled.kind, scheduled.tile),
            padded_weights(self.cheap, step),
        ).encode()
        keys = list(prepared.commitment.step_keys)
        keys[step] = key
        other_model = Replay(self.cheap, replace(prepared.commitment, step_keys=keys), prepared.srs, *ids)
        of_other_model = other_model.prove_step(step, window)
        yield Forgery("another model, with its key", replace(real, key=key, proof=of_other_model))
        yield Forgery("another model, with the honest key", replace(real, proof=of_other_model))
        middle = len(real.proof) // 2
        flipped = bytes([real.proof[middle] ^ 1])
        yield Forgery(
            "one bit flipped", replace(real, proof=real.proof[:middle] + flipped + real.proof[middle + 1 :])
        )
        yield Forgery("cut short", replace(real, proof=real.proof[:-32]))
        yield Forgery("empty", replace(real, proof=b""))

    def _send(self, call: Call) -> tuple[int, str | None]:
        """Mine it although it fails: (gas used, the contract's error or None when it was accepted)."""
        chain = self.stage.chain
        error = None
        assert call.to is not None
        try:
            chain.call(call.to, call.data, sender=self.address, description=call.description)
        except ContractError as refusal:
            error = refusal.name
        body = {"from": self.address, "to": call.to, "data": "0x" + call.data.hex(), "gas": hex(_GAS)}
        transaction = bytes.fromhex(chain.request("eth_sendTransaction", [body])[2:])
        while (receipt := chain.receipt(transaction)) is None:
            time.sleep(0.05)
        return receipt.gas_used, None if receipt.succeeded else error or "reverted"


def forged_proof(stage: Stage) -> ScenarioResult:
    """Must end `challenger_wins` by timeout, with every forgery refused."""
    model = stage.prepared.model
    first = model.config.layers // 3
    cheap = requantised(model, first, MATRICES)
    house = stage.hire(
        "spare 3", model=cheap, host=lambda provider, name: Forger(provider, name, stage, cheap)
    )
    assert isinstance(house, Forger)
    stage.tell(f"a provider with cheap MLP weights from layer {first} on will forge proofs")
    book = stage.open_book(provider="spare 3", challenger="challenger")
    answered, posted = ask_until_wrong(stage, house)
    game = stage.play_out(stage.await_game(posted), lambda: bool(house.refused))
    result = stage.dispute_result("forged-proof", answered, game, book, house)
    result.refused_proofs = house.refused
    stage.tell(f"{result.outcome}: {len(house.refused)} forged proofs refused, {game.reason.name.lower()}")
    if house.accepted:
        result.problem = f"a forged proof was accepted: {house.accepted[0]}"
    elif game.range_start != first_cheap_step(model, first) or game.reason is not Reason.TIMED_OUT:
        result.problem = f"it ended {result.reason} at step {game.range_start}"
    return result


def first_cheap_step(model: IntegerModel, layer: int) -> int:
    """Where the cheap copy first differs: not every family has a gate, and an MLP in tiles has many steps."""
    config = model.config
    return next(
        number
        for number, step in enumerate(config.schedule)
        if step.layer == layer and any(w.name in MATRICES for w in config.programs[step.kind].weights)
    )
