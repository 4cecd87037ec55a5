"""Every program of every family is proven and verified; false statements are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prover.architectures.audit_steps import statement_programs
from prover.curve.g1 import GENERATOR, add
from prover.errors import ProofRejectedError
from prover.prove import StatementFalseError, prove
from prover.statement import StepKey
from prover.verify import verify
from tests.prover.statements import srs

from .proven import proven, public_statement
from .random_models import FAMILIES, attention_kind, keys_kind

SHORT = [
    ("gpt2", "head", 0, 0),
    ("gpt2", "positions", 1, 0),
    ("gemma3", "attention", 1, 0),
    ("gemma3", "keys_values", 1, 0),
]
LONG = [
    ("llama-local-tiled", "attention_tile", 1, 0),
    *((family, kind, 0, 0) for family, config in FAMILIES.items() for kind in statement_programs(config)),
    *(
        (family, kind, 2, 0)
        for family, config in FAMILIES.items()
        for kind in (keys_kind(config), attention_kind(config))
    ),
    *(("gemma3", kind, window, 1) for window in (0, 1, 2) for kind in ("keys_values", "attention")),
]
CASES = [
    *(pytest.param(*case) for case in SHORT),
    *(pytest.param(*case, marks=pytest.mark.long) for case in LONG if case not in SHORT),
]


@pytest.mark.parametrize(("family", "kind", "window", "layer"), CASES)
def test_a_true_statement_is_accepted(family: str, kind: str, window: int, layer: int) -> None:
    case = proven(family, kind, window, layer)
    verify(case.key, case.statement, case.proof)


def test_a_proof_is_bound_to_its_layer_kind() -> None:
    """A local layer's proof under the step key of a global one: same weights, other integer."""
    case = proven("gemma3", "attention", 1, 0)
    names = case.key.plan.program.parameters
    other = tuple(
        3 - v if n == "layer_kind" else v for n, v in zip(names, case.statement.key.parameters, strict=True)
    )
    foreign = replace(case.statement, key=StepKey(other, case.statement.key.points))
    with pytest.raises(ProofRejectedError):
        verify(case.key, foreign, case.proof)


@pytest.mark.parametrize("vector", ["post_attention_norm", "query_norm"])
def test_a_proof_is_bound_to_every_gain(vector: str) -> None:
    """Another commitment in the place of a gain's."""
    case = proven("gemma3", "attention", 1, 0)
    key, layout = case.statement.key, case.key.plan.key_layout(case.key.chunk_bits)
    points = list(key.points)
    for block in layout.by_tensor[vector]:
        points[block.place >> layout.chunk_bits] = add(points[block.place >> layout.chunk_bits], GENERATOR)
    with pytest.raises(ProofRejectedError):
        verify(case.key, replace(case.statement, key=StepKey(key.parameters, tuple(points))), case.proof)


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [("positions", "positions"), pytest.param("attention", "output_bias", marks=pytest.mark.long)],
)
def test_a_witness_of_other_weights_cannot_be_proven(kind: str, tensor: str) -> None:
    key, statement, tensors = public_statement(FAMILIES["gpt2"], kind, 1)
    tensors[tensor] = tensors[tensor].copy()
    tensors[tensor].reshape(-1)[5 + 32 * 32 * (kind == "positions")] += 1 << 20
    with pytest.raises(StatementFalseError):
        prove(key, srs(), statement, tensors)
