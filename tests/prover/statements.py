"""Proven statements on small random layers, shared by the tests of provers and verifiers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from prover.architectures.audit_steps import HEAD_TILE, statement_programs
from prover.architectures.llama import LlamaConfig
from prover.committed_values import commit_step_key
from prover.curve.srs import SRS
from prover.hunt.head_samples import true_tokens
from prover.proof import Proof
from prover.prove import prove
from prover.statement import Statement, VerifyingKey

from .operators.random_layers import TILE_KINDS, input_points, random_statement, shape_of

MU = 16
"""A chunk of small layers: a proof takes less than half of the time that it takes in the 2^18 coefficients of a deployed
model, in which the kept proofs, the oracles and whatever runs a model prove."""
CASES = (
    ("keys_values", 0),
    ("keys_values", 3),
    ("attention", 0),
    ("attention", 1),
    ("attention", 2),
    ("mlp", 0),
    *((kind, 1 if kind == "attention_tile" else 0) for kind in TILE_KINDS),
    ("head", 0),
    ("head_tile", 0),
)


@dataclass(frozen=True)
class Proven:
    """A statement with an accepted proof, and the integers behind it."""

    verifying_key: VerifyingKey
    statement: Statement
    proof: Proof
    tensors: dict[str, np.ndarray]


@cache
def srs(mu: int = MU) -> SRS:
    return SRS.devnet(mu)


@cache
def verifying_key(kind: str, config: LlamaConfig | None = None) -> VerifyingKey:
    return VerifyingKey.create(statement_programs(config or shape_of(kind))[kind], srs())


@cache
def proven(kind: str, window: int = 0, seed: int = 1) -> Proven:
    key, public, tensors = public_statement(kind, window, seed)
    return Proven(key, public, prove(key, srs(), public, tensors), tensors)


def public_statement(
    kind: str, window: int = 0, seed: int = 1
) -> tuple[VerifyingKey, Statement, dict[str, np.ndarray]]:
    """The statement that a random layer makes true, with its witness."""
    case = random_statement(kind, window, seed)
    key = verifying_key(kind)
    tensors = case.witness()
    step_key = commit_step_key(key.plan, srs(), case.parameters, case.tensors)
    points = input_points(key.plan, srs(), tensors, case.publics)
    return key, Statement(step_key, case.publics, points), tensors


def head_tile_proven(tile: int, first: int, end: int) -> Proven:
    """A tile of the tiled shape's head: tokens in front of it, in it and behind it, in any rows."""
    case, key = random_statement(HEAD_TILE), verifying_key(HEAD_TILE)
    publics = true_tokens(case.program, case.tensors, tile, first, end)
    tensors = case.program.witness(case.tensors, {}, publics)
    step_key = commit_step_key(key.plan, srs(), {}, case.tensors)
    statement = Statement(step_key, publics, input_points(key.plan, srs(), tensors, publics))
    return Proven(key, statement, prove(key, srs(), statement, tensors), tensors)
