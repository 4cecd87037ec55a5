"""The claim reduction against direct evaluation."""

from __future__ import annotations

import random
from functools import reduce

import numpy as np
import pytest

from prover.argument.multilinear import eq_table, evaluate
from prover.argument.reduction import Claim, chunk_coefficients
from prover.argument.reduction_prover import prove_reduction
from prover.argument.sumcheck import verify_sumcheck
from prover.argument.transcript import Transcript
from prover.field import arrays
from prover.field.arrays import MODULUS

CHUNK_BITS = 9


def _integers(generator: np.random.Generator, size: int) -> np.ndarray:
    return generator.integers(-(1 << 30), 1 << 30, size)


def _value(chunk: np.ndarray, point: tuple[int, ...]) -> int:
    """The zero-padded chunk at a point, by folding field elements."""
    table = arrays.zeros(1 << CHUNK_BITS)
    table[: len(chunk)] = chunk if chunk.ndim == 2 else arrays.from_int64(chunk)
    return evaluate(table, list(point))


@pytest.fixture
def chunks() -> dict[object, np.ndarray]:
    """Integer chunks, a field chunk, a short one and one that ends within a row."""
    generator = np.random.default_rng(1)
    field = arrays.from_ints([random.Random(i).randrange(MODULUS) for i in range(1 << CHUNK_BITS)])
    return {
        "a": _integers(generator, 1 << CHUNK_BITS),
        "b": _integers(generator, 1 << CHUNK_BITS),
        "field": field,
        "short": _integers(generator, 1 << 6),
        "ragged": _integers(generator, 300),
    }


def _claims() -> list[Claim]:
    """Tensors in their places, at shared and at own points, and a short chunk at a point with a random front."""
    rng = random.Random(7)

    def number() -> int:
        return rng.randrange(MODULUS)

    shared = tuple(number() for _ in range(8))
    own = tuple(number() for _ in range(CHUNK_BITS))
    return [
        Claim(number(), (0, *shared), (("a", 1),)),
        Claim(number(), (1, *shared), (("a", 1), ("field", number()))),
        Claim(number(), (0, 1, *shared[1:]), (("field", 1),)),
        Claim(number(), (1, 0, 1, *shared[2:]), (("ragged", 1),)),
        Claim(number(), (1,) * 7 + shared[6:], (("b", 1),)),
        Claim(number(), own, (("a", number()), ("b", number()), ("short", 5))),
        Claim(number(), (*own[:3], *shared[2:]), (("short", 1),)),
        Claim(number(), (0, 0, 0, *shared[2:]), (("short", 1),)),
        Claim(number(), (0,) * CHUNK_BITS, (("b", 1),)),
    ]


def test_the_sum_of_claims_becomes_one_claim(chunks: dict[object, np.ndarray]) -> None:
    claims = _claims()
    value = sum(c.coefficient * w * _value(chunks[key], c.point) for c in claims for key, w in c.weights)
    reduced, combination = prove_reduction(claims, value % MODULUS, chunks, CHUNK_BITS, Transcript("test"))
    q, final = verify_sumcheck(reduced.rounds, value % MODULUS, Transcript("test"), "reduction.round")
    assert (q, final) == (reduced.point, reduced.claim)
    coefficients = chunk_coefficients(claims, q)
    assert evaluate(combination, q) == final
    direct = reduce(lambda s, key: s + coefficients[key] * _value(chunks[key], tuple(q)), coefficients, 0)
    assert direct % MODULUS == final


def test_a_coefficient_is_the_sum_over_its_claims(chunks: dict[object, np.ndarray]) -> None:
    rng = random.Random(3)
    q = [rng.randrange(MODULUS) for _ in range(CHUNK_BITS)]
    found = chunk_coefficients(_claims(), q)
    equal = arrays.to_ints(eq_table(q))
    for key in found:
        expected = 0
        for claim in _claims():
            table = arrays.to_ints(eq_table(list(claim.point)))
            weight = sum(weight for name, weight in claim.weights if name == key)
            expected += claim.coefficient * weight * sum(a * b for a, b in zip(table, equal, strict=True))
        assert found[key] == expected % MODULUS


def test_a_false_sum_is_noticed_by_the_prover(chunks: dict[object, np.ndarray]) -> None:
    with pytest.raises(ArithmeticError, match="not true"):
        prove_reduction(_claims(), 1, chunks, CHUNK_BITS, Transcript("test"))
