"""Whoever cheats in commitments, evaluations or the opening of a true statement is rejected by both verifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

import prover.argument.mercury
from prover.argument.commitment import commit_field
from prover.argument.mercury import MercuryRejected, open_mercury, verify_mercury
from prover.argument.multilinear import evaluate
from prover.argument.transcript import Transcript
from prover.claims import class_source
from prover.curve.g1 import GENERATOR, add
from prover.curve.srs import SRS
from prover.field import arrays
from prover.field.arrays import MODULUS
from prover.plan import TensorClass
from tests.verifier_gen.evm import Verifier

from ..prover.statements import srs
from .claims import StepClaim, contract_rejects, python_rejects
from .false_opening import open_falsely
from .forged_arguments import ChunkForger, Chunks, Confuser, WindowStretcher, stretched
from .lies import Case

Verifiers = Callable[[str], Verifier]


def _assert_rejected(forger: ChunkForger | Confuser, case: Case, verifier_of: Verifiers) -> None:
    for proof in forger.cheat().values():
        claim = StepClaim(case.statement, proof)
        assert python_rejects(case.key, claim)
        assert contract_rejects(verifier_of(case.program.name), claim)


# --- commitments ----------------------------------------------------------------------------------------------


def _short(chunks: Chunks, classes: Sequence[TensorClass], case: Case) -> list[tuple[object, int]]:
    """Chunks of the classes that are shorter than the SRS."""
    keys = [(class_source(case.key.plan, c), 0) for c in classes]
    return [key for key in keys if len(chunks[key]) < 1 << srs().mu]


@pytest.mark.parametrize(("phase", "further"), [(1, 0), (1, 1000), (2, 0)])
def test_nothing_is_committed_beyond_the_end_of_a_chunk(
    verifier_of: Verifiers, phase: int, further: int
) -> None:
    """Right behind its last tensor, which may be an unused slot of its class, and far behind."""
    case = Case.true("head")

    def forge(chunks: Chunks, classes: Sequence[TensorClass]) -> None:
        if classes and classes[0].phase == phase:
            for key in _short(chunks, classes, case)[:1]:
                chunks[key] = stretched(chunks[key], further)

    forger = ChunkForger(case, srs(), forge)
    _assert_rejected(forger, case, verifier_of)
    assert len(forger.forged) == 1


@pytest.mark.parametrize("kind", ["mlp", "attention"])
def test_an_output_window_has_one_commitment(verifier_of: Verifiers, kind: str) -> None:
    """A window with data beyond its entries would be a second commitment to the same activations."""
    case = Case.true(kind)
    values = case.tensors["after"].reshape(-1)
    case.claim_input(len(case.statement.inputs) - 1, stretched(values, 0))
    _assert_rejected(WindowStretcher(case, srs()), case, verifier_of)


@pytest.mark.parametrize("phase", [1, 2])
def test_one_commitment_does_not_serve_two_classes(verifier_of: Verifiers, phase: int) -> None:
    case = Case.true("head")

    def forge(chunks: Chunks, classes: Sequence[TensorClass]) -> None:
        if classes and classes[0].phase == phase:
            first, second = ((class_source(case.key.plan, c), 0) for c in classes[:2])
            chunks[second] = chunks[first]

    forger = ChunkForger(case, srs(), forge)
    _assert_rejected(forger, case, verifier_of)
    assert len(forger.forged) == 1


def test_the_forger_of_nothing_is_accepted() -> None:
    """The control: the same machinery with honest chunks."""
    case = Case.true("head")
    forger = ChunkForger(case, srs(), lambda chunks, classes: None)
    for proof in forger.cheat().values():
        StepClaim(case.statement, proof).verify(case.key)


# --- evaluations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("mlp", "gate", "up"),  # of one class, one commitment
        ("mlp", "gate_remainder", "up_remainder"),
        ("head", "normalised", "normalised_remainder"),
        ("head", "normalised_root", "normalised_mean_square"),
        ("head", "normalised", "normalised_root"),  # of two
    ],
)
def test_evaluations_belong_to_their_tensors(
    verifier_of: Verifiers, kind: str, first: str, second: str
) -> None:
    """Two values exchanged before they are absorbed, a third one adjusted so that the final check passes."""
    case = Case.true(kind)
    _assert_rejected(Confuser(case, srs(), first, second), case, verifier_of)


# --- the opening ----------------------------------------------------------------------------------------------

VARIABLES = 8


@pytest.fixture(scope="module")
def small() -> SRS:
    return SRS.devnet(VARIABLES)


def _polynomial() -> tuple[list[int], list[int], int]:
    """2^n integers, a point, and the value there."""
    generator = np.random.default_rng(2)
    f = [int(v) for v in generator.integers(-40_000, 40_000, 1 << VARIABLES)]
    u = [int.from_bytes(generator.bytes(31), "big") for _ in range(VARIABLES)]
    return f, u, evaluate(arrays.from_ints([v % MODULUS for v in f]), u)


def _verified(small: SRS, wanted: int) -> bool:
    f, u, _ = _polynomial()
    commitment = commit_field(small.g1, arrays.from_ints([v % MODULUS for v in f]))
    opening = open_falsely(small.g1, f, u, wanted, Transcript("test"))
    try:
        verify_mercury(commitment, u, wanted, opening, small.g2_one, small.g2_tau, Transcript("test"))
    except MercuryRejected:
        return False
    return True


def test_the_opener_is_honest_about_the_truth(small: SRS) -> None:
    f, u, value = _polynomial()
    table = arrays.from_ints([v % MODULUS for v in f])
    assert open_falsely(small.g1, f, u, value, Transcript("test")) == open_mercury(
        small.g1, table, u, value, Transcript("test")
    )
    assert _verified(small, value)


@pytest.mark.parametrize("by", [1, -1, 1 << 200])
def test_a_remainder_that_is_too_long_does_not_open_a_false_value(small: SRS, by: int) -> None:
    assert not _verified(small, (_polynomial()[2] + by) % MODULUS)


def test_it_is_the_degree_check_that_notices(small: SRS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without D in the batch the very same opening of a false value is accepted: everything else was satisfied."""
    weights = prover.argument.mercury._Batch.weights

    def without_d(batch: prover.argument.mercury._Batch, beta: int, z: int) -> tuple[list[int], int]:
        shorter = prover.argument.mercury._Batch(batch.zeta, batch.inverse, batch.alpha, batch.values[:3])
        kept, constant = weights(shorter, beta, z)
        return [*kept, 0], constant

    quotient = prover.argument.mercury._batch_quotient

    def quotient_without_d(polynomials: Sequence[Sequence[int]], batch: object, beta: int) -> list[int]:
        return quotient([*polynomials[:3], [0] * len(polynomials[0])], batch, beta)  # type: ignore[arg-type]

    value = _polynomial()[2]
    assert not _verified(small, (value + 1) % MODULUS)
    monkeypatch.setattr(
        prover.argument.mercury._Batch,
        "sets",
        property(lambda batch: (*_sets(batch)[: len(batch.values)],)),
    )
    monkeypatch.setattr(prover.argument.mercury._Batch, "weights", without_d)
    monkeypatch.setattr("tests.tampering.false_opening._batch_quotient", quotient_without_d)
    assert _verified(small, value)
    assert _verified(small, (value + 1) % MODULUS)


def _sets(batch: prover.argument.mercury._Batch) -> tuple[tuple[int, ...], ...]:
    pair = (batch.zeta, batch.inverse)
    return (pair, batch.all_points, pair, (batch.zeta,))


def test_an_opening_does_not_serve_another_commitment(small: SRS) -> None:
    """Of the same value at the same point."""
    f, u, value = _polynomial()
    table = arrays.from_ints([v % MODULUS for v in f])
    opening = open_mercury(small.g1, table, u, value, Transcript("test"))
    commitment = commit_field(small.g1, table)
    verify_mercury(commitment, u, value, opening, small.g2_one, small.g2_tau, Transcript("test"))
    for other, point in (
        (add(commitment, GENERATOR), u),
        (commitment, u[::-1]),
        (commitment, [*u[1:], u[0]]),
    ):
        with pytest.raises(MercuryRejected):
            verify_mercury(other, point, value, opening, small.g2_one, small.g2_tau, Transcript("test"))
