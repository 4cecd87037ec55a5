"""Malformed calldata is rejected with the error that names what is wrong, and the Python verifier agrees.

Every change of every field is in `tests/tampering/test_manifest.py`, for both verifiers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields

import pytest

from prover.argument.mercury import MercuryOpening
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS
from tests.verifier_gen.evm import Verifier
from tests.verifier_gen.statements import TILES, Proven

Verifiers = Callable[[str], Verifier]
Statements = Callable[..., Proven]
Calldata = tuple[str, bytes, list[int], bytes]
"""what was changed, key, inputs, proof"""

KINDS = [("keys_values", 3), ("attention", 3), ("mlp", 0), ("head", 0), ("embedding", 0), *TILES]
LARGEST = (1 << 256) - 1


def words_of(encoded: bytes) -> list[int]:
    return [int.from_bytes(encoded[i : i + 32], "big") for i in range(0, len(encoded), 32)]


def encode(words: list[int]) -> bytes:
    return b"".join(word.to_bytes(32, "big") for word in words)


def place_in_the_opening(words: list[int], name: str) -> int:
    """The first word of a field of the opening, which ends a proof."""
    sizes = [2 if field.type == "Point" else 1 for field in fields(MercuryOpening)]
    names = [field.name for field in fields(MercuryOpening)]
    return len(words) - sum(sizes[names.index(name) :])


def wrong_lengths(statement: Proven) -> Iterator[Calldata]:
    key, inputs, proof = statement.key, statement.inputs, statement.proof
    for cut in (1, 32, 64, len(proof)):
        yield f"proof without its last {cut} bytes", key, inputs, proof[:-cut]
    for extra in (1, 32, 64):
        yield f"proof with {extra} more bytes", key, inputs, proof + bytes(extra)
        yield f"key with {extra} more bytes", key + bytes(extra), inputs, proof
    yield "inputs without the last word", key, inputs[:-1], proof
    yield "inputs without the last point", key, inputs[:-2], proof
    yield "one more input word", key, [*inputs, 0], proof
    yield "one more input point", key, [*inputs, 0, 0], proof
    yield "no inputs", key, [], proof
    if key:
        yield "key without its last byte", key[:-1], inputs, proof
        yield "key without its last point", key[:-64], inputs, proof
        yield "no key", b"", inputs, proof


def python_rejects(statement: Proven, key: bytes, inputs: list[int], proof: bytes) -> bool:
    """The reference's verdict; calldata that does not even split into a statement is rejected as well."""
    try:
        return not statement.python_accepts(key, inputs, proof)
    except (IndexError, ValueError):
        return True


@pytest.mark.parametrize(
    ("kind", "window"),
    [pytest.param(*case, marks=pytest.mark.long if case in TILES else ()) for case in KINDS],
)
def test_lengths_are_exact(verifier_of: Verifiers, proven: Statements, kind: str, window: int) -> None:
    statement, verifier = proven(kind, window), verifier_of(kind)
    for what, key, inputs, proof in wrong_lengths(statement):
        assert verifier.verdict(key, inputs, proof) == "WrongLength", what
        assert python_rejects(statement, key, inputs, proof), what


@pytest.mark.parametrize(
    ("kind", "window", "index", "values"),
    [
        ("head", 0, 0, (32, 33, LARGEST)),
        ("head", 0, 1, (1 << 13, 1 << 255)),
        ("head", 0, 2, (1 << 64, LARGEST)),
        ("attention", 3, 0, (8, 1 << 200, LARGEST)),
        ("keys_values", 3, 0, (8, 1 << 200, LARGEST)),
        ("attention_tile", 3, 0, (8, 1 << 200, LARGEST)),
    ],
)
def test_public_integers_stay_in_range(
    verifier_of: Verifiers, proven: Statements, kind: str, window: int, index: int, values: tuple[int, ...]
) -> None:
    statement, verifier = proven(kind, window), verifier_of(kind)
    for value in values:
        inputs = list(statement.inputs)
        inputs[index] = value
        assert verifier.verdict(statement.key, inputs, statement.proof) == "OutOfRange"


TILES_OF_SMALL = {
    ("attention_tile", "group"): 2,
    ("keys_values_tile", "inputs"): 2,
    ("query_tile", "inputs"): 4,
}
"""Step-key integers that tell tiles apart, and how many there are; all others are shifts."""


@pytest.mark.parametrize(("kind", "window"), [("keys_values", 3), ("attention", 3), ("mlp", 0), *TILES])
def test_shifts_stay_in_range(verifier_of: Verifiers, proven: Statements, kind: str, window: int) -> None:
    statement, verifier = proven(kind, window), verifier_of(kind)
    program = statement.verifying_key.plan.program  # type: ignore[union-attr]
    for index, name in enumerate(program.parameters):
        assert program.parameter_limit(name) == TILES_OF_SMALL.get((kind, name), 16)
        for shift in (0, program.parameter_limit(name) + 1, SCALAR_MODULUS + 1, LARGEST):
            key = words_of(statement.key)
            key[index] = shift
            assert verifier.verdict(encode(key), statement.inputs, statement.proof) == "OutOfRange"


def test_a_proof_does_not_fit_another_statement(verifier_of: Verifiers, proven: Statements) -> None:
    """Row, factor and offset of a head statement, and the window of an attention statement, are bound."""
    head = proven("head", 0)
    for index, value in ((0, 6), (1, 0), (1, 2), (2, 0), (2, (1 << 63) - 2)):
        inputs = list(head.inputs)
        inputs[index] = value
        assert verifier_of("head").verdict(head.key, inputs, head.proof) == "false"
        assert not head.python_accepts(head.key, inputs, head.proof)
    attention = proven("attention", 3)
    shorter = [2, *attention.inputs[1:]]
    assert verifier_of("attention").verdict(attention.key, shorter, attention.proof) == "false"
    assert not attention.python_accepts(attention.key, shorter, attention.proof)
    keys = proven("keys_values", 3)
    for window in (0, 2, 7):
        inputs = [window, *keys.inputs[1:]]
        assert verifier_of("keys_values").verdict(keys.key, inputs, keys.proof) == "false"
        assert not keys.python_accepts(keys.key, inputs, keys.proof)


def test_error_names_what_is_wrong(verifier_of: Verifiers, proven: Statements) -> None:
    """An equation that fails, a point off the curve, a scalar from r on, a coordinate from q on."""
    statement, verifier = proven("head", 0), verifier_of("head")
    words = words_of(statement.proof)
    last_evaluation = place_in_the_opening(words, "h") - 2 * statement.verifying_key.chunk_bits - 1  # type: ignore[union-attr]
    for place, by, expected in (
        (last_evaluation, 1, "false"),
        (place_in_the_opening(words, "h"), 1, "InvalidPoint"),
        (place_in_the_opening(words, "w_prime"), BASE_MODULUS, "InvalidPoint"),
        (place_in_the_opening(words, "g_zeta"), SCALAR_MODULUS, "NotCanonical"),
    ):
        changed = list(words)
        changed[place] += by
        assert verifier.verdict(statement.key, statement.inputs, encode(changed)) == expected
        assert python_rejects(statement, statement.key, statement.inputs, encode(changed))
