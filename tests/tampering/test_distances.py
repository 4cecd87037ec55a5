"""Distances at every border of the exponential table: any digits prove their weights, and no others.

Keys are made for one row, so that its distances are exactly those of `DISTANCES`: the ends of the table, of its
entries that are not zero, and of the first digits beyond it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from prover.check import check
from prover.errors import ProofRejectedError
from prover.field.arrays import MODULUS
from prover.operators.attend import Attend
from prover.operators.exponential import DIGIT, FAR
from prover.prove import prove
from prover.tables import exponential_table
from prover.verify import verify
from tests.prover.operators.random_layers import READ_LIMITS, input_points
from tests.verifier_gen.evm import ACCEPTED, FALSE, Verifier

from ..prover.statements import srs
from .attention_lies import from_weights, place
from .case import Case
from .claims import StepClaim
from .malicious_prover import MaliciousProver

Verifiers = Callable[[str], Verifier]
WINDOW, ROW, HEAD = 1, 31, 0
FIRST_ZERO = 48_266
DISTANCES = (
    *(0, 1, 20_000, FIRST_ZERO - 1, FIRST_ZERO, FIRST_ZERO + FAR - 1, FIRST_ZERO + FAR),
    *(DIGIT - 1, DIGIT, DIGIT + FAR - 1, DIGIT + FAR),
)
"""Of the first keys, in units of the table."""


def _place(distance: int) -> tuple[int, int, int, int]:
    """Of the pair that has this distance."""
    return 0, HEAD, ROW, DISTANCES.index(distance)


@cache
def _made() -> Case:
    """A true statement: every distance at its place, all other keys zero."""
    case = Case.true("attention", WINDOW)
    attend = case.program.operators[place(case, Attend)]
    query = case.tensors["rotated_query"][0, HEAD, ROW]
    generator = np.random.default_rng(1)
    keys, limit = case.tensors["keys"], READ_LIMITS["keys"]
    keys[:] = 0
    keys[0, 0] = np.sign(query) * (limit // 2)
    largest = int(query @ keys[0, 0])
    last = int(np.abs(query).argmin())
    for number, distance in enumerate(DISTANCES[1:], 1):
        tried = generator.integers(-limit, limit, (100_000, len(query)))
        tried[:, last] = 0
        wanted = largest - (distance << attend.shift)
        tried[:, last] = (wanted - tried @ query) // query[last]
        off = wanted - tried @ query
        fits = (off >= 0) & (off < 1 << attend.shift) & (np.abs(tried[:, last]) < limit)
        keys[number, 0] = tried[np.flatnonzero(fits)[0]]
    case.compute()
    case.statement = replace(
        case.statement, inputs=input_points(case.key.plan, srs(), case.tensors, case.statement.publics)
    )
    return case


def made() -> Case:
    """A copy to be falsified."""
    case = _made()
    return Case(case.key, case.statement, {name: array.copy() for name, array in case.tensors.items()})


def _violated(case: Case) -> set[str]:
    statement, plan = case.statement, case.key.plan
    found = check(
        case.program, case.tensors, case.parameters, statement.publics, statement.context_bits(plan)
    )
    return {violation.relation for violation in found}


def test_every_border_has_its_weight() -> None:
    case, table = made(), exponential_table()
    for distance in DISTANCES:
        high, low = (int(case.tensors[name][_place(distance)]) for name in ("distance_high", "distance_low"))
        assert low + FAR * high == distance
        assert case.tensors["weight"][_place(distance)] == (table[distance] if distance < DIGIT else 0)
    assert _violated(case) == set()


def other_digits(case: Case) -> int:
    """Wherever two pairs of digits fit a distance, the other one; how many there were."""
    high, low = case.tensors["distance_high"], case.tensors["distance_low"]
    other = (case.tensors["causal_mask"] == 0) & (low - FAR >= FIRST_ZERO)
    high[other] += 1
    low[other] -= FAR
    return int(other.sum())


@pytest.mark.parametrize("which", ["usual", pytest.param("other", marks=pytest.mark.long)])
def test_both_verifiers_accept_every_border(verifier_of: Verifiers, which: str) -> None:
    """With either pair of digits where there are two: the statement is the same, and true."""
    case = made()
    if which == "other":
        assert other_digits(case) >= 2
        assert not np.array_equal(case.tensors["distance_high"], made().tensors["distance_high"])
        assert _violated(case) == set()
    proof = prove(case.key, srs(), case.statement, case.tensors)
    verify(case.key, case.statement, proof.encode())
    assert verifier_of("attention").verdict(*StepClaim(case.statement, proof).calldata()) == ACCEPTED


# --- lies -----------------------------------------------------------------------------------------------------


def _digits(
    case: Case, pair: tuple[int, int, int, int], low: int, high: int, weight: int | None = None
) -> None:
    """Said of one pair; by default with the weight that the table has for its lower digit."""
    tensors = case.tensors
    for name, value in (("distance_low", low), ("distance_high", high)):
        if not 0 <= value < 1 << 40:
            tensors[name] = tensors[name].astype(object)
        tensors[name][pair] = value % MODULUS if tensors[name].dtype == object else value
    tensors["weight"][pair] = exponential_table()[low] if weight is None else weight


def nearer_by_a_digit(case: Case) -> None:
    _digits(case, _place(20_000), 20_000 - FAR, 1)


def last_weight_left_out(case: Case) -> None:
    """The only entry of the table that is one unit, as if it were far."""
    _digits(case, _place(FIRST_ZERO - 1), FIRST_ZERO - 1 - FAR, 1, 0)


def far_as_nearest(case: Case) -> None:
    """2^16 = 4 * 2^14: the lower digit of the nearest key."""
    _digits(case, _place(DIGIT), 0, DIGIT // FAR)


def far_in_a_digit_too_large(case: Case) -> None:
    _digits(case, _place(DIGIT), DIGIT, 0, 1)


def near_without_weight_by_a_fraction(case: Case) -> None:
    """The upper digit is a fraction in the field, so that the lower one is that of a key without weight."""
    _digits(case, _place(1), DIGIT - 1, (1 - (DIGIT - 1)) * pow(FAR, -1, MODULUS) % MODULUS)


def near_without_weight_by_a_negative_digit(case: Case) -> None:
    _digits(case, _place(1), 1 - FAR * 4, 4, 0)


def _hidden(case: Case) -> tuple[int, int, int, int]:
    row = ROW - 1
    return 0, HEAD, row, 32 * WINDOW + row + 1


def hidden_as_nearest(case: Case) -> None:
    pair = _hidden(case)
    low, high = (int(case.tensors[name][pair]) for name in ("distance_low", "distance_high"))
    _digits(case, pair, 0, (low + DIGIT * high) * pow(DIGIT, -1, MODULUS) % MODULUS, 65_535)


def hidden_with_the_weight_of_its_digit(case: Case) -> None:
    pair = _hidden(case)
    case.tensors["distance_low"][pair] %= FAR
    _digits(case, pair, int(case.tensors["distance_low"][pair]), int(case.tensors["distance_high"][pair]))


def remainder_of_another_unit(case: Case) -> None:
    pair = _place(20_000)
    attend = case.program.operators[place(case, Attend)]
    case.tensors["distance_remainder"][pair] += 9_000 << attend.shift
    _digits(case, pair, 11_000, 0)


LIES: dict[Callable[[Case], None], set[str]] = {
    nearer_by_a_digit: {"far"},
    last_weight_left_out: {"weight"},
    far_as_nearest: {"far"},
    far_in_a_digit_too_large: {"weight"},
    near_without_weight_by_a_fraction: {"distance_high_range"},
    near_without_weight_by_a_negative_digit: {"weight"},
    hidden_as_nearest: {"distance_high_range", "far", "weight"},
    hidden_with_the_weight_of_its_digit: {"distance", "far", "weight"},
    remainder_of_another_unit: {"distance_remainder_range"},
}
"""Lie -> the relations that notice it: in most cases one alone."""


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_about_a_border_is_noticed(lie: Callable[[Case], None]) -> None:
    """All that follows from it is as it would be; a row's weights have another sum, if only by one unit."""
    case, before = made(), made().tensors["weight_sum"]
    lie(case)
    from_weights(case)
    assert not np.array_equal(case.tensors["weight_sum"], before)
    assert _violated(case) == LIES[lie]


@pytest.mark.long
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_both_verifiers_reject_it(verifier_of: Verifiers, lie: Callable[[Case], None]) -> None:
    case = made()
    lie(case)
    from_weights(case)
    liar = MaliciousProver(case.key, srs(), case.statement, case.tensors)
    for proof in liar.cheat().values():
        with pytest.raises(ProofRejectedError):
            verify(case.key, case.statement, proof.encode())
        assert verifier_of("attention").verdict(*StepClaim(case.statement, proof).calldata()) == FALSE
