"""Private statements on small random layers: those of tests/prover/statements.py behind hiding commitments."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from prover.field.arrays import MODULUS
from prover.hidden_points import hide
from prover.hiding import Blindings
from prover.plan import PRIVATE
from prover.proof import Proof
from prover.prove import prove
from prover.statement import Statement, VerifyingKey
from tests.prover.statements import public_statement, srs


def seeded(seed: int) -> Callable[[], int]:
    """A source of field elements that tests can repeat."""
    source = random.Random(seed)
    return lambda: source.randrange(MODULUS)


@dataclass(frozen=True)
class Private:
    """A private statement, what its prover knows, and a proof."""

    key: VerifyingKey
    statement: Statement
    blindings: Blindings
    tensors: dict[str, np.ndarray]
    proof: Proof

    def prove(self, seed: int) -> Proof:
        """Another proof of the same statement."""
        return prove(
            self.key, srs(), self.statement, self.tensors, blindings=self.blindings, scalar=seeded(seed)
        )

    @property
    def calldata(self) -> tuple[bytes, list[int], bytes]:
        """(step key, inputs, proof) as a generated verifier takes them."""
        scalars = [self.statement.publics[name] for name in self.key.plan.program.public_scalars]
        points = [coordinate for point in self.statement.inputs for coordinate in point]
        return self.statement.key.encode(), [*scalars, *points], self.proof.encode()


def private_key(public: VerifyingKey) -> VerifyingKey:
    """The private key of a program, whose public tables are committed already."""
    plan = type(public.plan)(public.plan.program, chunk_bits=public.chunk_bits, privacy=PRIVATE)
    return replace(public, plan=plan)


def hidden(
    public: VerifyingKey, statement: Statement, tensors: dict[str, np.ndarray], seed: int = 1
) -> Private:
    """A public statement made private, and proven."""
    key = private_key(public)
    own, blindings = hide(key, statement, seeded(seed))
    proof = prove(key, srs(), own, tensors, blindings=blindings, scalar=seeded(seed + 1))
    return Private(key, own, blindings, tensors, proof)


@cache
def private(kind: str, window: int = 0, seed: int = 1) -> Private:
    """A true private statement, proven once per process."""
    return hidden(*public_statement(kind, window, seed), seed)
