"""Hunts over small random layers, shared by the tests that look for under-constrained values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from prover.check import Checker
from prover.hunt.noticing import Changes, Hunt
from prover.program import Kind, Program

from .random_layers import TILE_KINDS, program_of, random_statement

HUNTED = (
    ("keys_values", 1),
    ("attention", 1),
    ("mlp", 0),
    ("head", 0),
    ("head_tile", 0),
    *((kind, int(kind == "attention_tile")) for kind in TILE_KINDS),
)


REPEATED = frozenset(TILE_KINDS) - {"mlp_close"}
"""Kinds all of whose operators another kind has too, but for the last of a tile: what is slow about them is left to the
long tests."""


def once(kind: str, *values: object) -> Any:
    """A case of a parametrised test, a long one where another kind has the same operators."""
    return pytest.param(kind, *values, marks=pytest.mark.long if kind in REPEATED else ())


@dataclass(frozen=True)
class Hunted:
    """A valid witness with both readers of its relations."""

    program: Program
    witness: dict[str, np.ndarray]
    parameters: dict[str, int]
    publics: dict[str, int]
    context_bits: int

    def check(self, changes: Changes, group: int) -> list[str]:
        """What the check reader says about one forged witness."""
        forged = dict(self.witness)
        for name, part in changes.parts.items():
            flat = np.asarray(forged[name]).astype(object).reshape(-1)
            chosen = part.groups == group
            flat[part.entries[chosen]] = part.values[chosen]
            forged[name] = flat.reshape(np.asarray(self.witness[name]).shape)
        checker = Checker(self.program, forged, self.parameters, self.publics, self.context_bits)
        return [relation.name for relation in self.program.relations if checker.violation(relation)]


@cache
def hunted(kind: str, window: int = 0) -> Hunted:
    case = random_statement(kind, window, seed=7)
    return Hunted(case.program, case.witness(), case.parameters, case.publics, case.context_bits)


@cache
def whole_hunt(kind: str, window: int = 0) -> Hunt:
    case = hunted(kind, window)
    hunt = Hunt(
        case.program,
        case.program.relations,
        case.program.tables,
        case.witness,
        case.parameters,
        case.publics,
        case.context_bits,
    )
    tables = bool(case.program.tables)  # what only adds to a sum looks nothing up
    assert bool(hunt.outputs) == tables  # made once, for every hunt that is derived from this one
    return hunt


def chosen_by_the_prover(program: Program) -> list[str]:
    """Every committed tensor, and the outputs that the statement claims."""
    return [name for name, t in program.tensors.items() if t.kind is Kind.WITNESS or t in program.written]


def operators_alone(program: Program) -> list[tuple[Any, ...]]:
    """Each operator by itself, with those that state the range of its output where it leaves that to them."""
    units = []
    for operator in program.operators:
        output = getattr(operator, "output", None)
        bounding = [
            other
            for other in program.operators
            if getattr(operator, "bits", 0) is None
            and output in (getattr(other, "x", None), getattr(other, "y", None))
        ]
        units.append((operator, *bounding))
    return units


ALONE = [
    (kind, window, index)
    for kind, window in HUNTED
    for index in range(len(operators_alone(program_of(kind))))
]
