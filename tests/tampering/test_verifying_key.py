"""What a verifier takes for granted is bound too: with another program, table, SRS or digest no proof is accepted.

The Python verifier gets it as a verifying key, field by field; a generated verifier has it in its code, as words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pytest

from contracts.bindings.compiler import Artifact
from prover.curve.g1 import GENERATOR, add, negate
from prover.curve.g2 import negate_g2
from prover.embedding import EmbeddingKey
from prover.plan import PRIVATE, PUBLIC, Plan
from prover.statement import VerifyingKey
from tests.verifier_gen.evm import ACCEPTED, Evm
from tests.verifier_gen.statements import contract_of

from ..prover.operators.random_layers import SMALL, TILE_KINDS, TILED
from .claims import Key, contract_rejects, python_rejects, true_claim

KINDS = [
    ("keys_values", 1),
    ("attention", 1),
    ("mlp", 0),
    ("head", 0),
    ("embedding", 0),
    ("private embedding", 0),
    ("mlp_close", 0),
    *(
        pytest.param(kind, int(kind == "attention_tile"), marks=pytest.mark.long)
        for kind in TILE_KINDS
        if kind != "mlp_close"
    ),
]


def _flipped(digest: bytes) -> list[bytes]:
    """One bit of the first and of the last byte, and nothing at all."""
    return [bytes([digest[0] ^ 128]) + digest[1:], digest[:-1] + bytes([digest[-1] ^ 1]), bytes(32)]


def _other_plans(plan: Plan) -> list[Plan]:
    """Of the same sizes: another epsilon; and the plans of the other kinds."""
    similar = replace(SMALL, norm_epsilon=2e-5).programs
    return [
        Plan(program)
        for name, program in (*similar.items(), *SMALL.programs.items(), *TILED.programs.items())
        if program != plan.program
    ]


def _other_constants(constants: tuple[Any, ...]) -> list[Any]:
    changed = [
        (*constants[:index], other, *constants[index + 1 :])
        for index, point in enumerate(constants)
        for other in (negate(point), (0, 0), GENERATOR, add(point, GENERATOR))
        if other != point  # a chunk of a table that holds nothing but zeros is committed to as (0, 0)
    ]
    if len(constants) > 1:
        assert constants != constants[::-1]
        changed.append(constants[::-1])
    return changed


OTHERS: dict[str, Callable[[Any], list[Any]]] = {
    "plan": _other_plans,
    "chunk_bits": lambda bits: [bits - 2, bits + 2],
    "channel_bits": lambda bits: [bits - 1, bits + 1],
    "srs_digest": _flipped,
    "g2_one": lambda point: [negate_g2(point)],
    "g2_tau": lambda point: [negate_g2(point)],
    "constants": _other_constants,
    "privacy": lambda privacy: [PUBLIC if privacy == PRIVATE else PRIVATE],
}


def test_every_field_of_a_verifying_key_is_listed() -> None:
    assert {f.name for key in (VerifyingKey, EmbeddingKey) for f in fields(key)} == OTHERS.keys()


@pytest.mark.parametrize(("kind", "window"), KINDS)
def test_another_verifying_key_rejects(kind: str, window: int) -> None:
    key, claim = true_claim(kind, window)
    tried = 0
    for field in fields(key):
        others: list[Key] = [
            replace(key, **{field.name: x}) for x in OTHERS[field.name](getattr(key, field.name))
        ]
        if field.name == "g2_tau":
            others.append(replace(key, g2_tau=key.g2_one))
        for other in others:
            assert python_rejects(other, claim), field.name
            tried += 1
    assert tried >= 8


def _words(key: Key) -> dict[str, int]:
    """What a verifier's code must hold: digests, commitments of tables, [1]_2 and [tau]_2."""
    words = {
        "program digest": int.from_bytes(key.digest, "big"),
        "SRS digest": int.from_bytes(key.srs_digest, "big"),
    }
    for name, ((x0, x1), (y0, y1)) in (("[1]_2", key.g2_one), ("[tau]_2", key.g2_tau)):
        words |= {
            f"{name} {part}": word
            for part, word in zip(("x0", "x1", "y0", "y1"), (x0, x1, y0, y1), strict=True)
        }
    for index, (x, y) in enumerate(key.constants if isinstance(key, VerifyingKey) else ()):
        if (x, y) != (0, 0):  # a chunk of a table that holds nothing but zeros
            words |= {f"tables {index} x": x, f"tables {index} y": y}
    return words


@pytest.mark.parametrize(("kind", "window"), KINDS)
def test_every_word_in_a_verifiers_code_counts(
    evm: Evm, artifacts: dict[str, Artifact], kind: str, window: int
) -> None:
    """One bit of one constant of the deployed code changed: no proof is accepted any more."""
    key, claim = true_claim(kind, window)
    code = artifacts[contract_of(kind)].creation_code
    deploy = cache(evm.deploy)
    assert deploy(code).verdict(*claim.calldata()) == ACCEPTED
    for name, word in _words(key).items():
        encoded = word.to_bytes((word.bit_length() + 7) // 8, "big")
        assert code.count(encoded) >= 1, f"{name} is not in the code"
        changed = code.replace(encoded, encoded[:-1] + bytes([encoded[-1] ^ 1]))
        assert contract_rejects(deploy(changed), claim), name
