"""Whoever cheats in commitments, evaluations or the opening of a true statement is rejected by both verifiers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import pytest

import prover.argument.mercury
import prover.argument.mercury_prover
from prover.argument.commitment import commit_chunks, commit_field
from prover.argument.mercury import MercuryRejected, verify_mercury
from prover.argument.mercury_prover import open_mercury
from prover.argument.multilinear import evaluate
from prover.argument.transcript import Transcript
from prover.curve.g1 import GENERATOR, add
from prover.curve.srs import SRS
from prover.field import arrays
from prover.field.arrays import MODULUS
from tests.verifier_gen.evm import Verifier

from ..prover.statements import srs
from .case import Case
from .claims import StepClaim, contract_rejects, python_rejects
from .false_opening import open_falsely
from .forged_arguments import ChunkForger, Chunks, Confuser, WindowStretcher, stretched

Verifiers = Callable[[str], Verifier]


def _assert_rejected(forger: ChunkForger | Confuser, case: Case, verifier_of: Verifiers) -> None:
    claim = StepClaim(case.statement, forger.adjust())
    assert python_rejects(case.key, claim)
    assert contract_rejects(verifier_of(case.program.name), claim)


# --- commitments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "further"), [(1, 0), pytest.param(1, 1000, marks=pytest.mark.long), (2, 0)]
)
def test_what_lies_behind_the_last_tensor_of_a_witness_chunk_proves_nothing_else(
    phase: int, further: int
) -> None:
    """No relation and no claim refers to it, so the very same statement is proven; outputs are another matter (below)."""
    case = Case.true("head")

    def forge(at: int, chunks: Chunks, keys: list[Hashable]) -> None:
        if at == phase:
            last = keys[-1]
            assert len(chunks[last]) + further < 1 << srs().mu
            chunks[last] = stretched(chunks[last], further)

    forger = ChunkForger(case, srs(), forge)
    StepClaim(case.statement, forger.adjust()).verify(case.key)
    assert len(forger.forged) == 1


@pytest.mark.parametrize(
    ("kind", "output"),
    [
        ("mlp", "after"),
        pytest.param("attention", "after", marks=pytest.mark.long),
        ("keys_values", "keys"),
        pytest.param("keys_values", "values", marks=pytest.mark.long),
    ],
)
def test_an_output_window_has_one_commitment(verifier_of: Verifiers, kind: str, output: str) -> None:
    """A window with data beyond its entries would be a second commitment to the same activations."""
    case = Case.true(kind)
    index = [tensor.name for tensor in case.program.inputs].index(output)
    case.claim_points(index, commit_chunks(srs().g1, [stretched(case.tensors[output].reshape(-1), 0)]))
    _assert_rejected(WindowStretcher(case, srs(), output), case, verifier_of)


@pytest.mark.parametrize("phase", [1, 2])
def test_one_commitment_does_not_serve_two_chunks(verifier_of: Verifiers, phase: int) -> None:
    case = Case.true("mlp")

    def forge(at: int, chunks: Chunks, keys: list[Hashable]) -> None:
        if at == phase:
            chunks[keys[1]] = chunks[keys[0]]

    forger = ChunkForger(case, srs(), forge)
    _assert_rejected(forger, case, verifier_of)
    assert len(forger.forged) == 1


@pytest.mark.parametrize("place", [0, -1])
def test_a_changed_entry_of_a_witness_chunk_is_noticed(verifier_of: Verifiers, place: int) -> None:
    """The control of the test above: its first entry and the last one of its last tensor."""
    case = Case.true("head")

    def forge(at: int, chunks: Chunks, keys: list[Hashable]) -> None:
        if at == 1:
            chunks[keys[-1]] = chunks[keys[-1]].copy()
            chunks[keys[-1]][place] += 1

    _assert_rejected(ChunkForger(case, srs(), forge), case, verifier_of)


def test_the_forger_of_nothing_is_accepted() -> None:
    """The control: the same machinery with honest chunks."""
    case = Case.true("head")
    forger = ChunkForger(case, srs(), lambda phase, chunks, keys: None)
    StepClaim(case.statement, forger.adjust()).verify(case.key)


# --- evaluations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("mlp", 0, 1),
        pytest.param("mlp", 2, 3, marks=pytest.mark.long),
        pytest.param("mlp", -1, 4, marks=pytest.mark.long),
        ("head", 0, 1),
        ("head", 2, -1),
    ],
)
def test_evaluations_belong_to_their_tensors(
    verifier_of: Verifiers, kind: str, first: int, second: int
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
    weights = prover.argument.mercury.Batch.weights

    def without_d(batch: prover.argument.mercury.Batch, beta: int, z: int) -> tuple[list[int], int]:
        shorter = prover.argument.mercury.Batch(batch.zeta, batch.inverse, batch.alpha, batch.values[:3])
        kept, constant = weights(shorter, beta, z)
        return [*kept, 0], constant

    quotient = prover.argument.mercury_prover._batch_quotient

    def quotient_without_d(polynomials: Sequence[Sequence[int]], batch: object, beta: int) -> list[int]:
        return quotient([*polynomials[:3], [0] * len(polynomials[0])], batch, beta)  # type: ignore[arg-type]

    value = _polynomial()[2]
    assert not _verified(small, (value + 1) % MODULUS)
    monkeypatch.setattr(
        prover.argument.mercury.Batch,
        "sets",
        property(lambda batch: (*_sets(batch)[: len(batch.values)],)),
    )
    monkeypatch.setattr(prover.argument.mercury.Batch, "weights", without_d)
    monkeypatch.setattr("tests.tampering.false_opening._batch_quotient", quotient_without_d)
    assert _verified(small, value)
    assert _verified(small, (value + 1) % MODULUS)


def _sets(batch: prover.argument.mercury.Batch) -> tuple[tuple[int, ...], ...]:
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
