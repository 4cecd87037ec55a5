"""A provider who gave a wrong answer cannot win by a boundary that differs from the right one by a published point.

A ceremony publishes more powers of tau than the SRS keeps. The provider swaps a token and posts a boundary b_2 with
[tau^(2^mu)] added to one window. A challenger disputes the boundary that differs, so the game is about a step
that the provider has computed rightly; it must prove that the step's output is the moved one. Everything is real: a .ptau file,
imported by the command, the tiny model, its generated verifiers, the contracts on a chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

import prover.argument.mercury
import prover.argument.mercury_prover
import verifier_gen.generator
from contracts.bindings.deployment import ProtocolContracts, verifier_artifacts
from contracts.bindings.errors import ContractError
from contracts.bindings.registration import register_model
from contracts.protocol.actions import ProveStep
from contracts.protocol.game import Outcome, Reason, Side
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from contracts.protocol.streams import Point, stream_root
from contracts.protocol.trace import OwnTrace
from prover.curve.point_arrays import PointArray
from prover.curve.srs import SRS
from prover.curve.srs_cli import app
from prover.model.library import load_model
from prover.model.weights import IntegerModel
from prover.model_commitment import ModelCommitment, commit_model
from prover.program import WINDOW_BITS
from prover.replay import Replay
from prover.streams import RESIDUAL
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain
from tests.oracles.ceremony import published_powers, write_ceremony
from tests.tampering.long_opening import PAPER
from tests.tampering.point_mover import moved, prove_moved
from tests.tampering.test_longer_ceremony import papers_degree, papers_template
from verifier_gen import generate_sources

MU = 18
MOVED_BOUNDARY = 2  # behind the attention of layer 0
MOVES = {1 << MU: 1}
_PROMPT = [72, 101, 108, 108, 111]


class PointMover(Replay):
    """The model's own trace, but for one published point in window 0 of the residual stream of b_2."""

    def __init__(self, powers: PointArray, strategy: str, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._powers, self._strategy = powers, strategy

    def window_points(self, boundary: int, stream: str = RESIDUAL) -> list[Point]:
        points = list(super().window_points(boundary, stream))
        if (boundary, stream) == (MOVED_BOUNDARY, RESIDUAL):
            points[0] = moved(points[0], self._powers, MOVES)
        return points

    def _root(self, boundary: int, number: int) -> bytes:
        return stream_root(
            self.stream_points(boundary, number)
        )  # those of other boundaries say nothing about this one

    def prove_step(self, step: int, window: int) -> bytes:
        assert (step + 1, window) == (MOVED_BOUNDARY, 0)
        key = self.system.verifying_key("attention")
        tensors = key.plan.program.witness(
            self.step_tensors(step, window, WINDOW_BITS),
            self.model.layer_parameters(0, "attention"),
            {"window": window},
            WINDOW_BITS,
        )
        statement = self.step_statement(step, window)
        return prove_moved(key, self.srs, self._powers, statement, tensors, MOVES, self._strategy).encode()


class Lured(Replay):
    """A challenger that disputes the moved boundary, although the token alone would win: the trace beside it ends as posted."""

    def first_wrong_output(self) -> tuple[int, int] | None:
        return None


class Stubborn(Arena):
    """An arena where a proof that the verifier refuses does not end the story: the provider has no other move."""

    refused = 0

    def move(self, game_id: int, side: Side, trace: OwnTrace | None) -> bool:
        try:
            return super().move(game_id, side, trace)
        except ContractError as error:
            assert side is Side.PROVIDER and error.name == "ProofRejected", error
            self.refused += 1
            return False


@pytest.fixture(scope="module")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ceremony") / "final.ptau"
    write_ceremony(path, MU)
    return path


@pytest.fixture(scope="module")
def imported(ceremony: Path) -> SRS:
    """By the command, as a user has it."""
    output = ceremony.with_suffix(".srs")
    result = CliRunner().invoke(app, ["import", str(ceremony), str(output), "--mu", str(MU)])
    assert result.exit_code == 0, result.output
    srs = SRS.load(output)
    assert not srs.insecure and len(srs.g1) == 1 << MU
    return srs


@pytest.fixture(scope="module")
def committed(imported: SRS) -> tuple[IntegerModel, ModelCommitment]:
    model = load_model("tiny")
    return model, commit_model(model, imported, cache_dir=None)


def _play(
    local_chain: LocalChain,
    contracts: ProtocolContracts,
    ceremony: Path,
    srs: SRS,
    committed: tuple[IntegerModel, ModelCommitment],
    strategy: str,
) -> tuple[Outcome, Reason, int, Mapping[str, int]]:
    """(outcome, reason, proofs refused, changes of the credits of both sides) of the disputed wrong answer."""
    model, commitment = committed
    artifacts = verifier_artifacts(generate_sources(model.config, srs))
    provider, challenger = local_chain.sender(1), local_chain.sender(2)
    model_id = register_model(provider, contracts, commitment, artifacts)
    provider.send(contracts.stake.deposit(10 * 10**18), key=f"stake {model_id.hex()}")
    arena = Stubborn(local_chain, contracts, commitment, model_id, provider, challenger)  # type: ignore[arg-type]

    right = Replay(model, commitment, srs, _PROMPT, [0]).argmax(len(_PROMPT) - 1)
    wrong = [(right + 1) % 200]
    truth = Lured(model, commitment, srs, _PROMPT, wrong)
    assert Replay.first_wrong_output(truth) is not None
    liar = PointMover(published_powers(ceremony), strategy, model, commitment, srs, _PROMPT, wrong)
    sides = {"provider": provider.address, "challenger": challenger.address}
    before = {side: contracts.stake.credits(address) for side, address in sides.items()}
    batch = arena.post([ResponseFields.of(_PROMPT, wrong, 1, 0)])
    game = arena.play(arena.open(batch, 0), liar, truth)
    assert any(isinstance(action, ProveStep) for side, action in arena.moves) or arena.refused
    changes = {side: contracts.stake.credits(address) - before[side] for side, address in sides.items()}
    return game.outcome, game.reason, arena.refused, changes


@pytest.mark.parametrize("strategy", ["long h", pytest.param("long g", marks=pytest.mark.long)])
def test_a_moved_boundary_does_not_win(
    local_chain: LocalChain,
    contracts: ProtocolContracts,
    ceremony: Path,
    imported: SRS,
    committed: tuple[IntegerModel, ModelCommitment],
    strategy: str,
) -> None:
    """The provider's clock runs out, and the challenger gets its bond back with a reward."""
    outcome, reason, refused, changes = _play(local_chain, contracts, ceremony, imported, committed, strategy)
    assert (outcome, reason) == (Outcome.CHALLENGER_WON, Reason.TIMED_OUT)
    assert refused >= 1
    assert changes["challenger"] > DEVNET.challenger_bond and changes["provider"] == 0


@pytest.mark.long
def test_with_the_papers_degree_check_it_wins(
    local_chain: LocalChain,
    contracts: ProtocolContracts,
    ceremony: Path,
    imported: SRS,
    committed: tuple[IntegerModel, ModelCommitment],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: under verifiers whose D is about g alone, the provider of a wrong answer wins by proof."""
    for module in (prover.argument.mercury, prover.argument.mercury_prover):
        monkeypatch.setattr(module, "d_zeta", papers_degree)
    monkeypatch.setattr(verifier_gen.generator, "_yul", papers_template(verifier_gen.generator._yul))
    outcome, reason, refused, changes = _play(local_chain, contracts, ceremony, imported, committed, PAPER)
    assert (outcome, reason, refused) == (Outcome.PROVIDER_WON, Reason.PROVEN, 0)
    assert changes["challenger"] == 0
