"""A prover that goes on with a false statement, or with a forged witness of a true one, is always rejected.

What is claimed is in `lies.py`; `malicious_prover.py` cheats wherever the argument leaves it a choice. Every run proves
the first lie about each kind of statement and every third of all; the long tests prove each.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from prover.argument.commitment import commit_chunks
from prover.check import check
from prover.curve.g1 import point_from_bytes
from prover.embedding import EmbeddingKey, verify_embedding
from prover.embedding_prover import prove_embedding
from prover.errors import ProofRejectedError
from prover.proof import Proof
from prover.verify import verify
from tests.verifier_gen.evm import Verifier
from tests.verifier_gen.statements import TILES

from ..prover.operators.random_layers import SMALL, padded
from ..prover.statements import srs
from .claims import EmbeddingClaim, StepClaim, contract_rejects
from .lies import (
    LIES,
    MORE_LIES,
    Case,
    Tensors,
    every_equation_solved,
    hidden_key_weighs,
    rival_wins,
    wrong_output,
)
from .malicious_prover import MaliciousProver

Verifiers = Callable[[str], Verifier]


def _rejection(case: Case, encoded: bytes) -> str:
    with pytest.raises(ProofRejectedError) as rejected:
        verify(case.key, case.statement, encoded)
    return str(rejected.value)


def _both_reject(case: Case, proof: Proof, verifier_of: Verifiers) -> None:
    _rejection(case, proof.encode())
    assert contract_rejects(verifier_of(case.program.name), StepClaim(case.statement, proof))


@pytest.mark.parametrize(
    ("kind", "window"),
    [
        ("keys_values", 2),
        ("attention", 2),
        ("mlp", 0),
        ("head", 0),
        *(pytest.param(*tile, marks=pytest.mark.long) for tile in TILES),
    ],
)
def test_the_malicious_prover_proves_what_is_true(kind: str, window: int) -> None:
    """The control: without a lie there is nothing to repair, and the same machinery is accepted."""
    case = Case.true(kind, window)
    liar = MaliciousProver(case.key, srs(), case.statement, case.tensors)
    proofs = liar.cheat()
    assert proofs["truthful"] == proofs["adjusted"]
    verify(case.key, case.statement, proofs["adjusted"].encode())
    if kind == "head":
        assert liar.bend(proofs["adjusted"]) == proofs["adjusted"]


def _assert_rejected(
    kind: str, window: int, lie: Callable[[Case], None], verifier_of: Verifiers, thorough: bool = False
) -> None:
    case = Case.true(kind, window)
    before = case.statement, {name: array.copy() for name, array in case.tensors.items()}
    lie(case)
    assert case.statement != before[0] or any(
        not np.array_equal(array, before[1][name]) for name, array in case.tensors.items()
    ), "the lie changes nothing"
    liar = MaliciousProver(case.key, srs(), case.statement, case.tensors)
    _both_reject(case, liar.adjust(), verifier_of)
    if thorough:
        _both_reject(case, liar.tell_the_truth(), verifier_of)


_KINDS = [kind for kind, _, _ in LIES]
SAMPLED = [
    pytest.param(*lie, marks=() if place % 3 == 0 or place == _KINDS.index(lie[0]) else pytest.mark.long)
    for place, lie in enumerate(LIES)
]


@pytest.mark.parametrize(
    ("kind", "window", "lie"), SAMPLED, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_lie_is_rejected(
    verifier_of: Verifiers, kind: str, window: int, lie: Callable[[Case], None]
) -> None:
    """By the Python verifier and by the generated one."""
    _assert_rejected(kind, window, lie, verifier_of)


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "window", "lie"), MORE_LIES, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_lie_about_another_statement_is_rejected(
    verifier_of: Verifiers, kind: str, window: int, lie: Callable[[Case], None]
) -> None:
    _assert_rejected(kind, window, lie, verifier_of, thorough=True)


def test_the_best_lie_leaves_only_ranges_to_notice() -> None:
    """All equations of a wrong output can be solved in the field; what cannot is that its parts are small."""
    case = Case.true("mlp")
    every_equation_solved(case)
    violated = {
        v.relation for v in check(case.program, case.tensors, case.parameters, case.statement.publics, 5)
    }
    assert violated == {"product_high_range", "up_high_range", "up_remainder_range"}


@pytest.mark.parametrize(
    ("kind", "window", "lie"),
    [("attention", 0, wrong_output), ("head", 0, rival_wins)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_repair_only_moves_the_contradiction(
    kind: str, window: int, lie: Callable[[Case], None]
) -> None:
    """The final check is a claim that the opening decides, so all end at its pairing, the bent one past its equations."""
    case = Case.true(kind, window)
    lie(case)
    liar = MaliciousProver(case.key, srs(), case.statement, case.tensors)
    proofs = liar.cheat()
    assert "pairing" in _rejection(case, proofs["truthful"].encode())
    assert "pairing" in _rejection(case, proofs["adjusted"].encode())
    assert "pairing" in _rejection(case, liar.bend(proofs["adjusted"]).encode())


def test_balanced_inverses_do_not_help(verifier_of: Verifiers) -> None:
    """The sum of all inverses is zero again, but one of them is no inverse any more."""
    case = Case.true("attention")
    hidden_key_weighs(case)
    liar = MaliciousProver(case.key, srs(), case.statement, case.tensors, balance_inverses=True)
    _both_reject(case, liar.adjust(), verifier_of)


def _one_more(tensors: Tensors) -> None:
    tensors["range_multiplicity"][70_000] += 1


def _moved(tensors: Tensors) -> None:
    """The total stays right."""
    tensors["range_multiplicity"][70_000] += 1
    tensors["range_multiplicity"][70_001] -= 1


@pytest.mark.parametrize(("spoil", "balanced"), [(_one_more, True), (_moved, False)], ids=["more", "moved"])
def test_multiplicities_must_match(
    verifier_of: Verifiers, spoil: Callable[[Tensors], None], balanced: bool
) -> None:
    """Of a true statement: whoever may choose multiplicities freely may look up what is in no table."""
    case = Case.true("head")
    liar = MaliciousProver(
        case.key, srs(), case.statement, case.tensors, balance_inverses=balanced, spoil=spoil
    )
    _both_reject(case, liar.adjust(), verifier_of)


# --- the embedding ------------------------------------------------------------------------------------------


def _embedding() -> tuple[np.ndarray, np.ndarray]:
    """(32, d) rows and the (32, padded d) window that holds them."""
    rows = np.random.default_rng(5).integers(-40_000, 40_000, (32, SMALL.hidden))
    return rows, padded(rows, (32, 1 << SMALL.channel_bits))


def _swapped(window: np.ndarray) -> None:
    window[[3, 4]] = window[[4, 3]]


def _one_value(window: np.ndarray) -> None:
    window[31, 0] -= 1


def _padding(window: np.ndarray) -> None:
    window[8, SMALL.hidden] = 1


def _rotated(window: np.ndarray) -> None:
    window[:] = np.roll(window, 1, axis=0)


def _moved_on(window: np.ndarray) -> None:
    """The same coefficients, one place further on."""
    window[:] = np.roll(window, 1)


@pytest.mark.parametrize(
    "lie", [_swapped, _one_value, _padding, _rotated, _moved_on], ids=lambda f: f.__name__
)
def test_a_wrong_embedding_window_is_rejected(
    verifier_of: Verifiers, lie: Callable[[np.ndarray], None]
) -> None:
    rows, window = _embedding()
    key = EmbeddingKey.create(SMALL.channel_bits, srs())
    row_points = commit_chunks(srs().g1, list(rows))
    lie(window)
    point = commit_chunks(srs().g1, [window.reshape(-1)])[0]
    honest = _embedding()[1]
    for values in (window, honest):  # the quotient of the lie, and that of the truth
        proof = prove_embedding(key, srs(), row_points, point, rows, values.reshape(-1))
        with pytest.raises(ProofRejectedError):
            verify_embedding(key, row_points, point, proof)
        claim = EmbeddingClaim(tuple(row_points), point, point_from_bytes(proof))
        assert contract_rejects(verifier_of("embedding"), claim)


def test_the_embedding_control_is_accepted() -> None:
    rows, window = _embedding()
    key = EmbeddingKey.create(SMALL.channel_bits, srs())
    points = commit_chunks(srs().g1, [*rows, window.reshape(-1)])
    proof = prove_embedding(key, srs(), points[:-1], points[-1], rows, window.reshape(-1))
    verify_embedding(key, points[:-1], points[-1], proof)
