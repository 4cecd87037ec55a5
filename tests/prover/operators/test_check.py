"""A valid witness satisfies every relation; a changed one does not."""

from __future__ import annotations

import numpy as np
import pytest

from prover.check import Checker, check
from prover.field.arrays import MODULUS
from prover.program import Kind, unknown_references

from .random_layers import SMALL, random_statement


@pytest.mark.parametrize("kind", sorted(SMALL.programs))
def test_every_reference_is_declared(kind: str) -> None:
    assert unknown_references(SMALL.programs[kind]) == set()


@pytest.mark.parametrize(("kind", "window"), [("mlp", 0), ("attention", 0), ("attention", 2), ("head", 0)])
def test_valid_witness_has_no_violation(kind: str, window: int) -> None:
    statement = random_statement(kind, window)
    assert (
        check(
            statement.program,
            statement.witness(),
            statement.parameters,
            statement.publics,
            statement.context_bits,
        )
        == []
    )


# --- the under-constraint hunt -----------------------------------------------------------------------------


def _hunted() -> list[tuple[str, int, str]]:
    return [
        (kind, window, name)
        for kind, window in (("mlp", 0), ("attention", 1), ("head", 0))
        for name, tensor in SMALL.programs[kind].tensors.items()
        if tensor.kind is Kind.WITNESS or name == "after"
    ]


@pytest.fixture(scope="module")
def checkers() -> dict[str, tuple[Checker, dict[str, np.ndarray]]]:
    result = {}
    for kind, window in (("mlp", 0), ("attention", 1), ("head", 0)):
        statement = random_statement(kind, window, seed=7)
        witness = statement.witness()
        checker = Checker(
            statement.program, witness, statement.parameters, statement.publics, statement.context_bits
        )
        result[kind] = (checker, witness)
    return result


@pytest.mark.parametrize(("kind", "window", "name"), _hunted())
def test_no_changed_witness_value_survives(kind: str, window: int, name: str, checkers) -> None:  # type: ignore[no-untyped-def]
    """Every committed tensor, padding included: +-1, wrap-arounds and aliases modulo 2^16 are noticed."""
    checker, witness = checkers[kind]
    original = np.array(witness[name], dtype=object)
    generator = np.random.default_rng(len(name))
    places = {0, original.size - 1, *(int(i) for i in generator.integers(0, original.size, 2))}
    for place in places:
        value = int(original.reshape(-1)[place])
        for changed in (
            value + 1,
            value - 1,
            value + (1 << 16),
            value - (1 << 16),
            MODULUS - 1 - value,
            1 << 200,
        ):
            if (changed - value) % MODULUS == 0:
                continue
            mutated = original.copy()
            mutated.reshape(-1)[place] = changed
            assert checker.violations_with(name, mutated), (kind, name, place, changed)
