"""Every field of every proof and every public input, changed in every way, is rejected by the Python verifier.

The manifest is made by reflection from the proof type, so a new field is tampered with as soon as it exists.
"""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from prover.curve.g1 import negate
from prover.errors import BadInputError, ProofRejectedError
from prover.field.arrays import MODULUS
from prover.field.reference import BASE_MODULUS
from prover.proof import Proof, ProofShape
from prover.verify import verify

from ..prover.statements import Proven, proven

KINDS = (("mlp", 0), ("attention", 1), ("head", 0))
WORD = 32


def _layout(case: Proven) -> dict[str, range]:
    """Word ranges of the fields of an encoded proof, by reflection."""
    ranges, start = {}, 0
    for field in fields(Proof):
        value = getattr(case.proof, field.name)
        words = len(value.words()) if field.name == "opening" else len(_flatten(value))
        ranges[field.name] = range(start, start + words)
        start += words
    shape = ProofShape.of(case.verifying_key.plan, case.statement.context_bits(case.verifying_key.plan), 18)
    assert start == shape.words, "a field of the proof is missing from the manifest"
    return ranges


def _flatten(value: object) -> list[int]:
    return [v for item in value for v in _flatten(item)] if isinstance(value, tuple) else [value]  # type: ignore[list-item]


def _is_rejected(case: Proven, encoded: bytes) -> bool:
    try:
        verify(case.verifying_key, case.statement, encoded)
    except ProofRejectedError:
        return True
    return False


def _with_word(encoded: bytes, index: int, word: int) -> bytes:
    return encoded[: WORD * index] + (word % (1 << 256)).to_bytes(WORD, "big") + encoded[WORD * (index + 1) :]


def _sampled(words: range, share: int) -> list[int]:
    """First, last and evenly spread words of a field; all of them for share 1."""
    return sorted({*words[:2], *words[-2:], *words[::share]})


@pytest.mark.parametrize(("kind", "window"), KINDS)
@pytest.mark.parametrize("field", [f.name for f in fields(Proof)])
def test_a_changed_field_is_rejected(kind: str, window: int, field: str) -> None:
    _tamper(proven(kind, window), field, share=7)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "window"), KINDS)
@pytest.mark.parametrize("field", [f.name for f in fields(Proof)])
def test_every_word_changed_is_rejected(kind: str, window: int, field: str) -> None:
    _tamper(proven(kind, window), field, share=1)


def _tamper(case: Proven, field: str, share: int) -> None:
    encoded = case.proof.encode()
    for index in _sampled(_layout(case)[field], share):
        word = int.from_bytes(encoded[WORD * index : WORD * (index + 1)], "big")
        for changed in (
            word + 1,
            word - 1,
            word ^ 1 << 200,
            word + MODULUS,
            word + BASE_MODULUS,
            0,
            MODULUS - word,
        ):
            if changed % (1 << 256) != word:
                assert _is_rejected(case, _with_word(encoded, index, changed)), (field, index, changed)


@pytest.mark.parametrize(("kind", "window"), KINDS)
def test_points_cannot_be_replaced(kind: str, window: int) -> None:
    """Negated, infinite, doubled or swapped commitments."""
    case = proven(kind, window)
    points = list(case.proof.commitments)
    for index in range(len(points)):
        for other in (negate(points[index]), (0, 0), (1, 2), points[(index + 1) % len(points)]):
            if other == points[index]:
                continue
            changed = replace(case.proof, commitments=(*points[:index], other, *points[index + 1 :]))
            assert _is_rejected(case, changed.encode()), (index, other)


@pytest.mark.parametrize(("kind", "window"), KINDS)
def test_wrong_lengths_are_rejected(kind: str, window: int) -> None:
    case = proven(kind, window)
    encoded = case.proof.encode()
    for changed in (
        b"",
        encoded[:-1],
        encoded[:-WORD],
        encoded + b"\0",
        encoded + bytes(WORD),
        encoded[WORD:],
    ):
        assert _is_rejected(case, changed)


@pytest.mark.parametrize(("kind", "window"), KINDS)
def test_changed_public_inputs_are_rejected(kind: str, window: int) -> None:
    case = proven(kind, window)
    statement, encoded = case.statement, case.proof.encode()
    changed = []
    for index, point in enumerate(statement.inputs):
        for other in (negate(point), (0, 0), (1, 2)):
            changed.append(
                replace(statement, inputs=(*statement.inputs[:index], other, *statement.inputs[index + 1 :]))
            )
    for index, point in enumerate(statement.key.points):
        key = replace(
            statement.key,
            points=(*statement.key.points[:index], negate(point), *statement.key.points[index + 1 :]),
        )
        changed.append(replace(statement, key=key))
    for index, shift in enumerate(statement.key.parameters):
        for other in (shift - 1, 0, 17):
            parameters = (*statement.key.parameters[:index], other, *statement.key.parameters[index + 1 :])
            changed.append(replace(statement, key=replace(statement.key, parameters=parameters)))
    for name, value in statement.publics.items():
        changed.append(replace(statement, publics={**statement.publics, name: value ^ 1}))
    for other_statement in changed:
        with pytest.raises((ProofRejectedError, BadInputError)):
            verify(case.verifying_key, other_statement, encoded)
