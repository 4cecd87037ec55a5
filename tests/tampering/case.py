"""A true statement with its witness, for a liar to falsify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from prover.argument.commitment import commit_chunks
from prover.committed_values import boundary_chunks
from prover.curve.g1 import Point
from prover.field.arrays import MODULUS
from prover.program import Program, WitnessContext
from prover.statement import Statement, StepKey, VerifyingKey, input_chunks

from ..prover.statements import public_statement, srs

Tensors = dict[str, np.ndarray]


@dataclass
class Case:
    """A true statement with its witness, about to be falsified in place."""

    key: VerifyingKey
    statement: Statement
    tensors: Tensors

    @classmethod
    def true(cls, kind: str, window: int = 0, seed: int = 1) -> Case:
        key, statement, tensors = public_statement(kind, window, seed)
        return cls(key, statement, {name: array.copy() for name, array in tensors.items()})

    @property
    def program(self) -> Program:
        return self.key.plan.program

    @property
    def parameters(self) -> dict[str, int]:
        return dict(zip(self.program.parameters, self.statement.key.parameters, strict=True))

    def compute(
        self,
        first: int = 0,
        program: Program | None = None,
        parameters: dict[str, int] | None = None,
        publics: dict[str, int] | None = None,
    ) -> None:
        """Recompute everything from operator `first` on, as the honest prover would."""
        program = program or self.program
        context = WitnessContext(
            program,
            self.tensors,
            parameters or self.parameters,
            publics or self.statement.publics,
            self.statement.context_bits(self.key.plan),
        )
        for operator in program.operators[first:]:
            operator.witness(context)

    def claim_output(self) -> None:
        """Make the statement speak of the outputs that are in `tensors`."""
        for tensor in self.program.written:
            self.claim_input(tensor.name)

    def claim_input(self, name: str, window: int | None = None) -> None:
        """Make the statement speak of what `tensors` holds of an input, in the place of another window if one is given."""
        plan, mu = self.key.plan, self.key.chunk_bits
        publics = {**self.statement.publics, **({} if window is None else {"window": window})}
        chunks = boundary_chunks(plan, plan.tensors[name], self.tensors[name], publics, mu)
        points = commit_chunks(srs().g1, chunks)
        first = [tensor for tensor, _ in input_chunks(plan, self.statement.publics, mu)].index(name)
        self.claim_points(first, points)

    def claim_points(self, first: int, points: Sequence[Point]) -> None:
        """Other commitments among the inputs."""
        inputs = self.statement.inputs
        changed = (*inputs[:first], *points, *inputs[first + len(points) :])
        assert len(changed) == len(inputs)
        self.statement = replace(self.statement, inputs=changed)

    @property
    def window(self) -> int:
        """The statement's window; 0 where it has none."""
        return self.statement.publics.get("window", 0)

    def claim_key(self, key: StepKey) -> None:
        self.statement = replace(self.statement, key=key)


def solve_linear(rows: list[list[int]], wanted: list[int]) -> list[int]:
    """x with sum_i x_i rows[i] = wanted, in the field, by elimination. Raises ValueError when there is none."""
    unknowns = len(rows)
    system = [[row[equation] for row in rows] + [value] for equation, value in enumerate(wanted)]
    pivots: list[int] = []
    for column in range(unknowns):
        place = len(pivots)
        pivot = next((i for i in range(place, len(system)) if system[i][column] % MODULUS), None)
        if pivot is None:
            continue
        system[place], system[pivot] = system[pivot], system[place]
        inverse = pow(system[place][column], -1, MODULUS)
        system[place] = [value * inverse % MODULUS for value in system[place]]
        for i, line in enumerate(system):
            if i != place and line[column] % MODULUS:
                system[i] = [
                    (a - line[column] * b) % MODULUS for a, b in zip(line, system[place], strict=True)
                ]
        pivots.append(column)
    if any(line[-1] % MODULUS for line in system[len(pivots) :]):
        raise ValueError("the equations contradict each other")
    solution = [0] * unknowns
    for place, column in enumerate(pivots):
        solution[column] = system[place][-1]
    return solution
