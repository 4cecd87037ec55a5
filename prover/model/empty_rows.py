"""Rows that proofs contain and no text has: the empty context rows behind the last window.

The statement about window w of an attention step has 2^t context rows. Those behind the window have zero input at every
layer, and all that is computed for them is keys and values: of a norm of zeros, biases, learned positions and rotary
tables. Their ranges are checked like any others, but no run of a text computes them. So a model whose biases alone leave a
range would answer rightly and could not be proven from the third window on.

What they hold depends on the model only. So it is run on them once, by the same operators, before anything of it is
committed, at every position of its padded tables: more than an empty row can have, and a rule that is easy to state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..program import Kind, OutOfRange, Program, RunContext
from .errors import UnprovableModelError
from .exact_gemm import multiply_exactly
from .execute import Observer
from .weights import IntegerModel

_ROWS_AT_ONCE = 512


def context_operators(program: Program) -> tuple[Any, ...]:
    """The operators of an attention program that run on all context rows, not only on those of its own window."""

    def axes(operator: Any) -> set[str]:
        return {axis for t in operator.tensors() if t.kind is Kind.WITNESS for axis in t.axes}

    return tuple(o for o in program.operators if "context" in axes(o) and "row" not in axes(o))


def run_empty_rows(model: IntegerModel, observer: Observer | None = None) -> None:
    """Run every attention step on empty rows. Raises UnprovableModelError when one leaves a declared range."""
    program = model.config.programs["attention"]
    operators, positions = context_operators(program), 1 << program.axes["position"].fixed
    for layer in range(model.config.layers):
        parameters, weights = model.layer_parameters(layer, "attention"), _padded_vectors(model, layer)
        matrices = model.weights.layers[layer]
        for start in range(0, positions, _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, positions))
            context = RunContext(
                tensors={"before": np.zeros((len(rows), model.config.hidden), dtype=np.int64)},
                parameters=parameters,
                matmul=lambda weight, x, matrices=matrices: multiply_exactly(matrices[weight].values, x),  # type: ignore[misc]
                positions=rows,
                layer=layer,
                weights=weights,
            )
            try:
                for operator in operators:
                    operator.run(context)
            except OutOfRange as error:
                raise UnprovableModelError(error) from error
            if observer is not None:
                observer(layer, context.tensors)


def _padded_vectors(model: IntegerModel, layer: int) -> dict[str, np.ndarray]:
    """The layer's other weights; learned positions are padded with zeros, as in the step key."""
    program, vectors = model.config.programs["attention"], dict(model.weights.vectors[layer])
    for weight in program.weights:
        if weight.axes[0] == "position":
            missing = (1 << program.axes["position"].fixed) - len(vectors[weight.name])
            vectors[weight.name] = np.pad(vectors[weight.name], ((0, missing), (0, 0)))
    return vectors
