"""False or malformed statements are rejected, and the Python verifier agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from prover.curve.g1 import add
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS
from tests.verifier_gen.evm import ACCEPTED, Verifier
from tests.verifier_gen.statements import Proven

Verifiers = Callable[[str], Verifier]
Statements = Callable[..., Proven]
Calldata = tuple[str, bytes, list[int], bytes]  # what was changed, key, inputs, proof

KINDS = [("mlp", 0), ("attention", 3), ("head", 0), ("embedding", 0)]
WORDS_SAMPLED = 24
LARGEST = (1 << 256) - 1


def words_of(encoded: bytes) -> list[int]:
    return [int.from_bytes(encoded[i : i + 32], "big") for i in range(0, len(encoded), 32)]


def encode(words: list[int]) -> bytes:
    return b"".join(word.to_bytes(32, "big") for word in words)


def sampled(count: int, exhaustive: bool) -> list[int]:
    """Every word, or some of them: always the first and the last."""
    if exhaustive or count <= WORDS_SAMPLED:
        return list(range(count))
    return sorted({round(i * (count - 1) / (WORDS_SAMPLED - 1)) for i in range(WORDS_SAMPLED)})


def changed_words(statement: Proven, exhaustive: bool) -> Iterator[Calldata]:
    """One word of the key, the inputs or the proof is another one."""
    key, proof = words_of(statement.key), words_of(statement.proof)
    for name, words in (("key", key), ("inputs", statement.inputs), ("proof", proof)):
        for index in sampled(len(words), exhaustive):
            for what, value in _other_values(words[index]):
                changed = [*words[:index], value, *words[index + 1 :]]
                yield (
                    f"{name}[{index}] {what}",
                    encode(changed) if name == "key" else statement.key,
                    changed if name == "inputs" else statement.inputs,
                    encode(changed) if name == "proof" else statement.proof,
                )


def _other_values(value: int) -> Iterator[tuple[str, int]]:
    yield "+ 1", value + 1
    if value:
        yield "to zero", 0
    if value + SCALAR_MODULUS <= LARGEST:
        yield "+ r", value + SCALAR_MODULUS
    if value + BASE_MODULUS <= LARGEST:
        yield "+ q", value + BASE_MODULUS


def changed_points(statement: Proven, exhaustive: bool) -> Iterator[Calldata]:
    """Valid points in the wrong place: infinity, the generator added, a neighbour."""
    plan = getattr(statement.verifying_key, "plan", None)
    scalars = len(plan.program.public_scalars) if plan else 0
    parameters = len(plan.program.parameters) if plan else 0
    key, proof = words_of(statement.key), words_of(statement.proof)
    regions = [("key", key, parameters, (len(key) - parameters) // 2)]
    regions.append(("inputs", statement.inputs, scalars, (len(statement.inputs) - scalars) // 2))
    regions.append(("proof", proof, 0, 1 if plan is None else _leading_points(proof)))
    if plan is not None:
        regions += [("proof", proof, len(proof) - 22, 5), ("proof", proof, len(proof) - 6, 3)]
    for name, words, start, count in regions:
        for number in sampled(count, exhaustive):
            place = start + 2 * number
            point = (words[place], words[place + 1])
            following = (words[place + 2], words[place + 3]) if number + 1 < count else (1, 2)
            for what, other in (("infinity", (0, 0)), ("+ G", add(point, (1, 2))), ("swapped", following)):
                changed = list(words)
                changed[place : place + 2] = other
                if what == "swapped" and number + 1 < count:
                    changed[place + 2 : place + 4] = point
                if changed == list(words):
                    continue
                yield (
                    f"{name} point {number} {what}",
                    encode(changed) if name == "key" else statement.key,
                    changed if name == "inputs" else statement.inputs,
                    encode(changed) if name == "proof" else statement.proof,
                )


def _leading_points(words: list[int]) -> int:
    """How many points the proof starts with."""
    count = 0
    while (words[2 * count + 1] ** 2 - words[2 * count] ** 3 - 3) % BASE_MODULUS == 0:
        count += 1
    return count


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


@pytest.mark.parametrize(("kind", "window"), KINDS)
@pytest.mark.parametrize("exhaustive", [False, pytest.param(True, marks=pytest.mark.long)])
def test_every_change_is_rejected_by_both(
    verifier_of: Verifiers, proven: Statements, kind: str, window: int, exhaustive: bool
) -> None:
    statement, verifier = proven(kind, window), verifier_of(kind)
    accepted = []
    changes = [*changed_words(statement, exhaustive), *changed_points(statement, exhaustive)]
    for number, (what, key, inputs, proof) in enumerate(changes):
        verdict = verifier.verdict(key, inputs, proof)
        if verdict == ACCEPTED:
            accepted.append(f"{what}: the contract accepts")
        if (exhaustive or number % 4 == 0) and not python_rejects(statement, key, inputs, proof):
            accepted.append(f"{what}: the Python verifier accepts")
    assert not accepted
    assert len(changes) > 100


@pytest.mark.parametrize(("kind", "window"), KINDS)
def test_lengths_are_exact(verifier_of: Verifiers, proven: Statements, kind: str, window: int) -> None:
    statement, verifier = proven(kind, window), verifier_of(kind)
    for what, key, inputs, proof in wrong_lengths(statement):
        assert verifier.verdict(key, inputs, proof) == "WrongLength", what
        assert python_rejects(statement, key, inputs, proof), what


@pytest.mark.parametrize(
    ("kind", "window", "index", "values"),
    [
        ("head", 0, 0, (32, 33, LARGEST)),
        ("head", 0, 1, (2, 1 << 255)),
        ("attention", 3, 0, (8, 1 << 200, LARGEST)),
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


@pytest.mark.parametrize(("kind", "window"), [("mlp", 0), ("attention", 3)])
def test_shifts_stay_in_range(verifier_of: Verifiers, proven: Statements, kind: str, window: int) -> None:
    statement, verifier = proven(kind, window), verifier_of(kind)
    count = len(statement.verifying_key.plan.program.parameters)  # type: ignore[union-attr]
    for index in range(count):
        for shift in (0, 17, SCALAR_MODULUS + 1, LARGEST):
            key = words_of(statement.key)
            key[index] = shift
            assert verifier.verdict(encode(key), statement.inputs, statement.proof) == "OutOfRange"


def test_a_proof_does_not_fit_another_statement(verifier_of: Verifiers, proven: Statements) -> None:
    """Row and strictness of a head statement, and the window of an attention statement, are bound."""
    head = proven("head", 0)
    for index, value in ((0, 6), (1, 0)):
        inputs = list(head.inputs)
        inputs[index] = value
        assert verifier_of("head").verdict(head.key, inputs, head.proof) == "false"
        assert not head.python_accepts(head.key, inputs, head.proof)
    attention = proven("attention", 3)
    shorter = [2, *attention.inputs[3:]]
    assert verifier_of("attention").verdict(attention.key, shorter, attention.proof) == "false"
    assert not attention.python_accepts(attention.key, shorter, attention.proof)


def test_error_names_what_is_wrong(verifier_of: Verifiers, proven: Statements) -> None:
    statement, verifier = proven("head", 0), verifier_of("head")
    words = words_of(statement.proof)
    for place, expected in ((len(words) - 22 - 2 * statement.verifying_key.chunk_bits - 1, "false"), (len(words) - 22, "InvalidPoint")):
        changed = list(words)
        changed[place] += 1
        assert verifier.verdict(statement.key, statement.inputs, encode(changed)) == expected
    changed = list(words)
    changed[-7] += SCALAR_MODULUS
    assert verifier.verdict(statement.key, statement.inputs, encode(changed)) == "NotCanonical"
