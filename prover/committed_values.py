"""The integers behind a statement's commitments, as a prover commits to them: a step's weights, windows of boundaries."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .argument.commitment import commit_with_digits, split_chunks
from .curve.srs import SRS
from .plan import Plan
from .program import Program, Tensor
from .statement import StepKey


def weight_table(program: Program, tensor: Tensor, weights: np.ndarray) -> np.ndarray:
    """An unpadded weight matrix (in, out) as the padded tensor of the program."""
    real = [program.real_sizes[axis] for axis in tensor.axes]
    padded = np.zeros([1 << program.axes[axis].fixed for axis in tensor.axes], dtype=np.int64)
    padded[tuple(slice(0, size) for size in real)] = np.asarray(weights).reshape(real)
    return padded


def commit_step_key(
    plan: Plan, srs: SRS, parameters: Mapping[str, int], weights: Mapping[str, np.ndarray]
) -> StepKey:
    """Commit the padded weights of one step."""
    points = commit_with_digits(srs.g1, plan.pack_weights(weights, srs.mu))
    return StepKey(tuple(parameters[name] for name in plan.program.parameters), tuple(points))


def boundary_chunks(
    plan: Plan, tensor: Tensor, values: np.ndarray, publics: Mapping[str, int], chunk_bits: int
) -> list[np.ndarray]:
    """The flat chunks behind the commitments of an input, from its padded integers: a window in its place, zeros in front."""
    flat = values.reshape(-1)
    if "context" in tensor.axes:
        return split_chunks(flat, plan.input_points(tensor, publics, chunk_bits), chunk_bits)
    place = plan.place(tensor, publics, chunk_bits)
    return [np.concatenate([np.zeros(place * len(flat), dtype=flat.dtype), flat]) if place else flat]
