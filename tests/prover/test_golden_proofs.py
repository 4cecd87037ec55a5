"""Proofs that were accepted once are accepted for ever, and no word of them may change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import pytest
from eth_hash.auto import keccak

from prover.argument.transcript import Transcript
from prover.errors import ProofRejectedError
from prover.field.arrays import MODULUS
from prover.field.reference import BASE_MODULUS
from prover.proof import Proof, ProofShape
from prover.statement import VerifyingKey
from tests.verifier_gen.golden_proofs import FAMILY_STATEMENTS, STATEMENTS, golden, golden_lie
from tests.verifier_gen.statements import Proven

WORD = 32
LARGEST = (1 << 256) - 1
_LIKE_OTHERS = (
    "keys and values of window 0",
    "keys and values at the end of a chunk",
    "attention of window 0",
    "attention over one chunk",
    "embedding of a full window",
)
"""Of the same kind as another kept statement, of a later window: words of these are changed in `make test-long`."""
CHANGED = [pytest.param(name, marks=pytest.mark.long if name in _LIKE_OTHERS else ()) for name in STATEMENTS]


@pytest.mark.parametrize("name", [*STATEMENTS, *FAMILY_STATEMENTS])
def test_a_kept_proof_is_accepted(name: str) -> None:
    kept = golden(name)
    assert kept.python_accepts(kept.key, kept.inputs, kept.proof), (
        "the verifier has changed: if that is meant, run python -m tests.verifier_gen.golden_proofs"
    )


@pytest.mark.parametrize("lie", ["truthful", "adjusted"])
def test_a_kept_lie_fails_the_pairing_only(lie: str) -> None:
    """Without that check it would be accepted: nothing else is wrong with it."""
    kept = golden_lie(lie)
    with pytest.raises(ProofRejectedError, match="pairing"):
        kept.verify(kept.key, kept.inputs, kept.proof)


@pytest.mark.parametrize("name", [*STATEMENTS, *FAMILY_STATEMENTS])
def test_every_word_is_absorbed_in_order_and_nothing_else(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The opening's last message too, though an honest proof holds for every challenge that could follow it."""
    kept, absorbed = golden(name), []
    original = Transcript.challenge

    def recording(self: Transcript, label: str, words: Iterable[int] = (), index: int = 0) -> int:
        listed = list(words)
        absorbed.extend(listed)
        return original(self, label, listed, index)

    monkeypatch.setattr(Transcript, "challenge", recording)
    kept.verify(kept.key, kept.inputs, kept.proof)
    key = kept.verifying_key
    header = [int.from_bytes(key.digest, "big"), int.from_bytes(key.srs_digest, "big")]
    words = [int.from_bytes(kept.proof[i : i + WORD], "big") for i in range(0, len(kept.proof), WORD)]
    if isinstance(key, VerifyingKey):
        header.append(int.from_bytes(keccak(kept.key), "big"))
    else:
        words = []  # the quotient answers the only challenge
    assert absorbed == [*header, *kept.inputs, *words]


def _flat(value: object) -> list[int]:
    return [word for part in value for word in _flat(part)] if isinstance(value, tuple) else [value]  # type: ignore[list-item]


def _places(kept: Proven) -> list[int]:
    """First, second, middle and last word of every field of the proof."""
    if not isinstance(kept.verifying_key, VerifyingKey):
        return [0, 1]
    key = kept.verifying_key
    windows = kept.inputs[0] if key.plan.program.has_context else 0
    context_bits = 5 + windows.bit_length()
    proof = ProofShape.of(key.plan, context_bits, key.chunk_bits).decode(kept.proof)
    places, start = [], 0
    for field in fields(Proof):
        value = getattr(proof, field.name)
        count = len(value.words() if field.name == "opening" else _flat(value))
        if field.name == "opening":
            places += range(start, start + count)
        elif count:
            places += sorted({start, start + 1, start + count // 2, start + count - 1})
        start += count
    return places


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_word_of_the_proof_is_rejected(name: str) -> None:
    """One more; and the same value modulo r or q, which must have one encoding only."""
    kept = golden(name)
    for place in _places(kept):
        word = int.from_bytes(kept.proof[WORD * place : WORD * (place + 1)], "big")
        for changed in (word + 1, word + MODULUS, word + BASE_MODULUS):
            if changed <= LARGEST:
                encoded = kept.proof[: WORD * place] + changed.to_bytes(WORD, "big")
                encoded += kept.proof[WORD * (place + 1) :]
                assert not kept.python_accepts(kept.key, kept.inputs, encoded), (place, changed - word)


@pytest.mark.parametrize("name", [*STATEMENTS, *FAMILY_STATEMENTS])
def test_a_changed_input_is_rejected(name: str) -> None:
    kept = golden(name)
    for place in range(len(kept.inputs)):
        inputs = list(kept.inputs)
        inputs[place] += 1
        try:
            accepted = kept.python_accepts(kept.key, inputs, kept.proof)
        except IndexError:  # another window needs other inputs than there are
            accepted = False
        assert not accepted, place


@pytest.mark.parametrize("name", CHANGED)
def test_another_point_is_rejected(name: str) -> None:
    """Points of the curve, in the wrong place: negated, infinity, exchanged with the next one."""
    kept = golden(name)
    scalars = 0
    if isinstance(kept.verifying_key, VerifyingKey):
        scalars = len(kept.verifying_key.plan.program.public_scalars)
    for place in range(scalars, len(kept.inputs), 2):
        x, y = kept.inputs[place : place + 2]
        following = kept.inputs[place + 2 : place + 4]
        for other in ([x, -y % BASE_MODULUS], [0, 0], [*following, x, y] if following else [1, 2]):
            changed = [*kept.inputs[:place], *other, *kept.inputs[place + len(other) :]]
            if changed != kept.inputs:
                assert not kept.python_accepts(kept.key, changed, kept.proof), (place, other)


@pytest.mark.parametrize("name", STATEMENTS)
def test_lengths_are_exact(name: str) -> None:
    kept = golden(name)
    for proof in (b"", kept.proof[:-1], kept.proof[:-WORD], kept.proof + b"\0", kept.proof + bytes(WORD)):
        assert not kept.python_accepts(kept.key, kept.inputs, proof)
    for key in (kept.key[:-1], kept.key[:-64], kept.key + bytes(64)):
        if key != kept.key:
            assert not kept.python_accepts(key, kept.inputs, kept.proof)
