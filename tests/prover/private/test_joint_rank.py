"""All scalars of a whole private proof together are as uniform as one by one: their joint rank in the masks is full.

For fixed challenges every scalar that is sent (rounds, evaluations, reduction, opening, b*) is an affine function of the masks:
the matrix of its differences, one row per drawn mask, is taken from the real prover. Full rank means that no linear combination of
what is sent depends on the secrets alone, whichever of them it joins (docs/zero-knowledge.md, section 3).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable

import pytest

from prover import prove as proving
from prover.argument import mercury
from prover.argument.transcript import Transcript
from prover.curve.g1 import INFINITY
from prover.field.arrays import MODULUS
from prover.hidden_points import hide
from prover.proof import Proof
from tests.prover.statements import public_statement, srs

from .statements import private_key, seeded


class _CountingSource:
    """Masks drawn from a seed, the one numbered `raised` one more."""

    def __init__(self, raised: int | None) -> None:
        self._source, self._raised, self.drawn = random.Random(5), raised, 0

    def __call__(self) -> int:
        value = self._source.randrange(MODULUS) + (self.drawn == self._raised)
        self.drawn += 1
        return value % MODULUS


def _scalars(proof: Proof) -> list[int]:
    opening = proof.opening
    return [
        *(coefficient for message in (*proof.rounds, *proof.reduction) for coefficient in message),
        *proof.evaluations,
        *(opening.g_zeta, opening.g_inverse, opening.h_zeta, opening.h_inverse, opening.s_zeta),
        opening.s_inverse,
        *proof.blinding,
    ]


def _rank(rows: list[list[int]]) -> int:
    """Of a matrix over the field."""
    rows, rank = [list(row) for row in rows], 0
    for column in range(len(rows[0])):
        pivot = next((i for i in range(rank, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        inverse = pow(rows[rank][column], -1, MODULUS)
        unit = rows[rank] = [entry * inverse % MODULUS for entry in rows[rank]]
        for i in range(rank + 1, len(rows)):
            if factor := rows[i][column]:
                rows[i] = [(x - factor * y) % MODULUS for x, y in zip(rows[i], unit, strict=True)]
        rank += 1
    return rank


def _fixed(self: Transcript, label: str, words: Iterable[int] = (), index: int = 0) -> int:
    """Challenges that depend on their label only, so that what is sent is affine in the masks."""
    list(words)
    return int(hashlib.sha512(f"{label}/{index}".encode()).hexdigest(), 16) % MODULUS


def _without_points(patch: pytest.MonkeyPatch) -> None:
    """Commitments take most of a proof's time, and each is uniform by a blinding of its own."""
    for module in (proving, mercury):
        patch.setattr(module, "commit_field", lambda *_: INFINITY)
    patch.setattr(proving, "commit_chunks", lambda _, chunks: [INFINITY] * len(chunks))
    patch.setattr(proving, "commit_inverse_chunk", lambda *_, **__: INFINITY)
    patch.setattr(proving, "blind", lambda *_: INFINITY)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["head", "mlp"])
def test_the_masks_hide_all_scalars_of_a_proof_together(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    public, statement, tensors = public_statement(kind)
    key = private_key(public)
    own, blindings = hide(key, statement, seeded(1))
    monkeypatch.setattr(Transcript, "challenge", _fixed)
    _without_points(monkeypatch)

    def sent(raised: int | None) -> tuple[list[int], int]:
        source = _CountingSource(raised)
        proof = proving.prove(key, srs(), own, dict(tensors), blindings=blindings, scalar=source)
        return _scalars(proof), source.drawn

    base, drawn = sent(None)
    rows = [
        [(raised - plain) % MODULUS for raised, plain in zip(sent(mask)[0], base, strict=True)]
        for mask in range(drawn)
    ]
    assert all(any(row) for row in rows), "a mask changes nothing"
    assert _rank(rows) == len(base)
