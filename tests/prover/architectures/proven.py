"""Proven statements about random layers of every family."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from prover.architectures import ModelConfig
from prover.argument.commitment import commit_chunks
from prover.prove import prove
from prover.statement import Statement, VerifyingKey, boundary_chunks, commit_step_key
from tests.prover.statements import srs

from .random_models import FAMILIES, random_statement


@dataclass(frozen=True)
class Proven:
    """A statement with its proof, and the integers behind it."""

    key: VerifyingKey
    statement: Statement
    proof: bytes
    tensors: dict[str, np.ndarray]

    @property
    def calldata(self) -> tuple[bytes, list[int], bytes]:
        """(step key, inputs, proof) as a generated verifier takes them."""
        scalars = [self.statement.publics[name] for name in self.key.plan.program.public_scalars]
        points = [coordinate for point in self.statement.inputs for coordinate in point]
        return self.statement.key.encode(), [*scalars, *points], self.proof


def public_statement(
    config: ModelConfig, kind: str, window: int = 0, layer: int = 0
) -> tuple[VerifyingKey, Statement, dict[str, np.ndarray]]:
    """The statement that a random layer makes true, with its witness."""
    case = random_statement(config, kind, window, layer=layer)
    key = VerifyingKey.create(case.program, srs())
    tensors, points = case.witness(), []
    for tensor in case.program.inputs:
        count = window + 1 if "context" in tensor.axes else 1
        points += commit_chunks(srs().g1, boundary_chunks(tensor, tensors[tensor.name], count))
    step_key = commit_step_key(key.plan, srs(), case.parameters, case.tensors)
    return key, Statement(step_key, case.publics, tuple(points)), tensors


@cache
def proven(family: str, kind: str, window: int = 0, layer: int = 0) -> Proven:
    """A true statement of a family, proven once per process."""
    key, statement, tensors = public_statement(FAMILIES[family], kind, window, layer)
    return Proven(key, statement, prove(key, srs(), statement, tensors).encode(), tensors)
