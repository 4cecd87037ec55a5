"""A valid witness satisfies every relation; a changed one does not."""

from __future__ import annotations

import numpy as np
import pytest

from prover.check import check
from prover.program import unknown_references

from .random_layers import SMALL, random_statement


@pytest.mark.parametrize("kind", sorted(SMALL.programs))
def test_every_reference_is_declared(kind: str) -> None:
    assert unknown_references(SMALL.programs[kind]) == set()


@pytest.mark.parametrize(("kind", "window"), [("mlp", 0), ("attention", 0), ("attention", 2), ("head", 0)])
def test_valid_witness_has_no_violation(kind: str, window: int) -> None:
    statement = random_statement(kind, window)
    assert check(statement.program, statement.witness(), statement.parameters, statement.publics, statement.context_bits) == []
