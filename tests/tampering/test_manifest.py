"""Every field of every proof and every public input, changed in every way, is rejected by both verifiers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import pytest

from prover.embedding import EmbeddingKey, verify_embedding
from prover.proof import Proof
from prover.statement import Statement, StepKey, VerifyingKey
from prover.verify import verify
from tests.prover.operators.random_layers import TILE_KINDS
from tests.verifier_gen.evm import ACCEPTED, Verifier

from .claims import Claim, StepClaim, contract_rejects, python_rejects, true_claim
from .manifest import Nature, UnlistedField, changes, leaves, once_each, other_lengths

Verifiers = Callable[[str], Verifier]

KINDS = [
    ("attention", 1),
    ("mlp", 0),
    ("head", 0),
    ("embedding", 0),
    ("private head", 0),
    ("private embedding", 0),
]
LONG = [
    pytest.param(kind, window, marks=pytest.mark.long)
    for kind, window in (
        *((kind, window) for window in (0, 1, 3) for kind in ("keys_values", "attention_tile")),
        *(("attention", window) for window in (0, 3)),
        *((kind, 0) for kind in TILE_KINDS if kind != "attention_tile"),
        ("private mlp", 0),
        ("head_tile", 0),
        ("private head_tile", 0),
    )
]
WORD = 32


# --- the manifest is complete -----------------------------------------------------------------------------------


def _assert_every_word_is_listed(claim: Claim) -> None:
    """Scalars and integers are one word, points are two; the calldata has exactly these words."""
    listed = leaves(claim)
    values = [leaf.value for leaf in listed if leaf.nature is not Nature.LIST]
    words = [word for value in values for word in (value if isinstance(value, tuple) else (value,))]
    key, inputs, proof = claim.calldata()
    given = [
        *(int.from_bytes(key[i : i + WORD], "big") for i in range(0, len(key), WORD)),
        *inputs,
        *(int.from_bytes(proof[i : i + WORD], "big") for i in range(0, len(proof), WORD)),
    ]
    assert words == given


@pytest.mark.parametrize(("kind", "window"), KINDS)
def test_every_word_is_in_the_manifest(kind: str, window: int) -> None:
    _, claim = true_claim(kind, window)
    _assert_every_word_is_listed(claim)
    listed = {leaf.field.split(".")[-1] for leaf in leaves(claim)}
    types = (type(claim),)
    if isinstance(claim, StepClaim):
        types = (Proof, type(claim.proof.opening), Statement, StepKey)
    nested = {"opening", "key", "publics"}
    assert {field.name for annotation in types for field in fields(annotation)} - nested <= listed


@dataclass(frozen=True)
class _WithBytes(Proof):
    note: bytes = b""


@dataclass(frozen=True)
class _WithScalar(Proof):
    scalar: int = 5


def test_a_field_that_the_manifest_does_not_know_fails() -> None:
    """One of an unknown type at once; one of a known type when it is not in the encoding that the verifiers read."""
    _, claim = true_claim("head")
    assert isinstance(claim, StepClaim)
    ours = {field.name: getattr(claim.proof, field.name) for field in fields(Proof)}
    with pytest.raises(UnlistedField, match="note"):
        leaves(_WithBytes(**ours))
    longer = _WithScalar(**ours)
    assert [leaf.path for leaf in leaves(longer)][-1] == "scalar"
    with pytest.raises(AssertionError):
        _assert_every_word_is_listed(replace(claim, proof=longer))


def test_the_verifiers_take_nothing_else() -> None:
    """An argument that a verifier gets one day belongs into the claims of this manifest."""
    assert list(inspect.signature(verify).parameters) == ["verifying_key", "statement", "encoded"]
    assert list(inspect.signature(verify_embedding).parameters) == ["key", "rows", "window", "encoded"]
    assert {f.name for f in fields(Statement)} == {"key", "publics", "inputs"}


# --- every change is rejected -----------------------------------------------------------------------------------


def _assert_rejected(kind: str, window: int, verifier: Verifier, exhaustive: bool) -> int:
    key, claim = true_claim(kind, window)
    listed = list(changes(claim))
    tried = listed if exhaustive else once_each(listed)
    for change in tried:
        what = f"{change.where}: {change.kind}"
        assert python_rejects(key, change.result), f"{what} is accepted by the Python verifier"
        assert contract_rejects(verifier, change.result), f"{what} is accepted by the contract"
    assert {change.field for change in tried} == {leaf.field for leaf in leaves(claim)}
    return len(tried)


@pytest.mark.parametrize(("kind", "window"), KINDS)
def test_every_kind_of_change_of_every_field_is_rejected(
    verifier_of: Verifiers, kind: str, window: int
) -> None:
    """Each at another element of its field."""
    assert _assert_rejected(kind, window, verifier_of(kind), exhaustive=False) > 50


@pytest.mark.long
@pytest.mark.parametrize(("kind", "window"), [*KINDS, *LONG])
def test_every_change_of_every_element_is_rejected(verifier_of: Verifiers, kind: str, window: int) -> None:
    assert _assert_rejected(kind, window, verifier_of(kind), exhaustive=True) > 800


@pytest.mark.parametrize(("kind", "window"), [*KINDS, *LONG])
def test_the_control_is_accepted(verifier_of: Verifiers, kind: str, window: int) -> None:
    key, claim = true_claim(kind, window)
    claim.verify(key)  # type: ignore[arg-type]
    assert verifier_of(kind).verdict(*claim.calldata()) == ACCEPTED


@pytest.mark.parametrize(("kind", "window"), KINDS)
def test_cut_and_extended_bytes_are_rejected(verifier_of: Verifiers, kind: str, window: int) -> None:
    """Key and proof as byte strings, not only as lists of fields."""
    verifying_key, claim = true_claim(kind, window)
    key, inputs, proof = claim.calldata()
    for what, changed in other_lengths(proof):
        assert verifier_of(kind).verdict(key, inputs, changed) == "WrongLength", what
        assert python_rejects(verifying_key, _Raw(claim, proof=changed)), what  # type: ignore[arg-type]
    for what, changed in other_lengths(key):
        if changed != key:
            assert verifier_of(kind).verdict(changed, inputs, proof) == "WrongLength", what
        if changed != key and isinstance(claim, StepClaim) and isinstance(verifying_key, VerifyingKey):
            assert python_rejects(verifying_key, _Raw(claim, key=changed)), what  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Raw:
    """A claim some of whose parts are replaced by bytes."""

    claim: Claim
    key: bytes | None = None
    proof: bytes | None = None

    def verify(self, verifying_key: VerifyingKey | EmbeddingKey) -> None:
        claim = self.claim
        if not isinstance(claim, StepClaim):
            assert isinstance(verifying_key, EmbeddingKey) and self.proof is not None
            verify_embedding(verifying_key, claim.rows, claim.window, self.proof)
            return
        assert isinstance(verifying_key, VerifyingKey)
        key = claim.statement.key
        if self.key is not None:
            key = StepKey.decode(self.key, verifying_key.plan, verifying_key.chunk_bits)
        proof = claim.proof.encode() if self.proof is None else self.proof
        verify(verifying_key, replace(claim.statement, key=key), proof)


# --- a proof of something else ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "window"), KINDS)
def test_a_proof_does_not_serve_another_statement(verifier_of: Verifiers, kind: str, window: int) -> None:
    """Of the same shapes: another layer's key, other windows, or both; and the other way round."""
    verifying_key, claim = true_claim(kind, window)
    _, other = true_claim(kind, window, seed=2)
    mixtures: list[Claim] = []
    if not isinstance(claim, StepClaim):
        assert not isinstance(other, StepClaim)
        mixtures = [
            replace(claim, quotient=other.quotient),
            replace(claim, rows=other.rows),
            replace(claim, window=other.window),
            replace(claim, rows=claim.rows[:-1]),
            replace(claim, rows=(*claim.rows, (0, 0))),
            replace(claim, rows=()),
        ]
    else:
        assert isinstance(other, StepClaim)
        mine, theirs = claim.statement, other.statement
        mixtures = [
            replace(claim, statement=theirs),
            replace(claim, statement=replace(mine, inputs=theirs.inputs)),
            *(
                replace(claim, statement=replace(mine, inputs=inputs))
                for inputs in (
                    (theirs.inputs[0], *mine.inputs[1:]),
                    (*mine.inputs[:-1], theirs.inputs[-1]),
                    mine.inputs[::-1],
                    (mine.inputs[0],) * len(mine.inputs),
                )
            ),
        ]
        if mine.key.points:  # the head has no weights of its own
            mixtures.append(replace(claim, statement=replace(mine, key=theirs.key)))
    for mixture in mixtures:
        assert python_rejects(verifying_key, mixture)
        assert contract_rejects(verifier_of(kind), mixture)


def test_no_verifier_takes_a_proof_of_another_kind(verifier_of: Verifiers) -> None:
    """Claims of every kind and window at the verifiers of all others."""
    claims = {(kind, window): true_claim(kind, window) for kind, window in (*KINDS, ("attention", 0))}
    for (kind, window), (key, _) in claims.items():
        for (other, other_window), (_, claim) in claims.items():
            if kind != other:
                assert contract_rejects(verifier_of(kind), claim), (kind, other)
            elif window != other_window:
                assert isinstance(claim, StepClaim)
                moved = replace(claim, statement=replace(claim.statement, publics={"window": window}))
                assert python_rejects(key, moved) and contract_rejects(verifier_of(kind), moved)
