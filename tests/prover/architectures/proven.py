"""Proven statements about random layers of every family."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from prover.architectures import ModelConfig
from prover.committed_values import commit_step_key
from prover.prove import prove
from prover.statement import Statement, VerifyingKey
from tests.prover.operators.random_layers import input_points
from tests.prover.statements import MU, srs

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
    config: ModelConfig, kind: str, window: int = 0, layer: int = 0, mu: int = MU
) -> tuple[VerifyingKey, Statement, dict[str, np.ndarray]]:
    """The statement that a random layer makes true, with its witness."""
    case = random_statement(config, kind, window, layer=layer)
    key = VerifyingKey.create(case.program, srs(mu))
    tensors = case.witness()
    step_key = commit_step_key(key.plan, srs(mu), case.parameters, case.tensors)
    points = input_points(key.plan, srs(mu), tensors, case.publics)
    return key, Statement(step_key, case.publics, points), tensors


@cache
def proven(family: str, kind: str, window: int = 0, layer: int = 0, mu: int = MU) -> Proven:
    """A true statement of a family, proven once per process."""
    key, statement, tensors = public_statement(FAMILIES[family], kind, window, layer, mu)
    return Proven(key, statement, prove(key, srs(mu), statement, tensors).encode(), tensors)
