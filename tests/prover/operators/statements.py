"""A program of a few operators with its inputs, for tests of one operator at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prover.check import Checker
from prover.field.arrays import MODULUS
from prover.operators.inverse_root import LIMB_AXIS_BITS
from prover.program import Kind, Program, RunContext, Tensor
from prover.relations import Bits

ROWS = Bits(2)


@dataclass
class OperatorCase:
    """Operators over rows of `sizes` channels: x and weights in, witness and relations out."""

    operators: tuple[Any, ...]
    sizes: Mapping[str, int]
    inputs: Mapping[str, tuple[tuple[str, ...], np.ndarray]]  # name -> (axes, unpadded values)
    weights: Mapping[str, tuple[tuple[str, ...], np.ndarray]]
    parameters: Mapping[str, int]

    @property
    def program(self) -> Program:
        axes = {name: Bits((size - 1).bit_length()) for name, size in self.sizes.items()}
        return Program(
            name="case",
            own_axes={"row": ROWS, "limb": Bits(LIMB_AXIS_BITS), **axes},
            inputs=tuple(Tensor(name, axes, Kind.BOUNDARY) for name, (axes, _) in self.inputs.items()),
            operators=self.operators,
            weights=tuple(Tensor(name, axes, Kind.WEIGHT) for name, (axes, _) in self.weights.items()),
            real_sizes=self.sizes,
        )

    def witness(self) -> dict[str, np.ndarray]:
        """Padded integers of every tensor."""
        program, padded = self.program, {}
        for name, (axes, values) in {**self.inputs, **self.weights}.items():
            padded[name] = np.zeros(program.shape(axes, 0), dtype=np.int64)
            padded[name][tuple(slice(0, n) for n in values.shape)] = values
        return program.witness(padded, self.parameters, {}, 0)

    def run(self) -> dict[str, np.ndarray]:
        """Unpadded tensors of the run reader."""
        weights = {name: values for name, (_, values) in self.weights.items()}
        rows = next(iter(self.inputs.values()))[1].shape[0]
        context = RunContext(
            tensors={name: values for name, (_, values) in self.inputs.items()},
            parameters=self.parameters,
            matmul=lambda name, x: x @ weights[name].reshape(x.shape[1], -1),
            positions=np.arange(rows),
            weights=weights,
        )
        for operator in self.operators:
            operator.run(context)
        return context.tensors

    def checker(self, witness: Mapping[str, np.ndarray]) -> Checker:
        """The check reader of a witness."""
        return Checker(self.program, witness, self.parameters, {}, 0)


def violations(case: OperatorCase, witness: Mapping[str, np.ndarray]) -> list[str]:
    """Names of violated relations."""
    checker = case.checker(witness)
    return [v.relation for relation in case.program.relations if (v := checker.violation(relation))]


def surviving_changes(checker: Checker, program: Program, witness: Mapping[str, np.ndarray]) -> Sequence[str]:
    """Witness tensors of which some changed entry is noticed by no relation."""
    unnoticed = []
    for tensor in program.tensors.values():
        if tensor.kind is not Kind.WITNESS:
            continue
        original = np.asarray(witness[tensor.name]).astype(object)
        for place in dict.fromkeys(int(i) for i in np.linspace(0, original.size - 1, 3)):
            value = int(original.reshape(-1)[place])
            for changed in (value + 1, value - 1, value + (1 << 16), (value + pow(3, -1, MODULUS)) % MODULUS):
                mutated = original.copy()
                mutated.reshape(-1)[place] = changed
                if not checker.violations_with(tensor.name, mutated):
                    unnoticed.append(f"{tensor.name}[{place}] = {changed}")
    return unnoticed
