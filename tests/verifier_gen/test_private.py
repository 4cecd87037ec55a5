"""Generated verifiers of private statements agree with the reference, on true proofs and on changed ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from contracts.bindings.compiler import Artifact, compile_sources
from prover.architectures.audit_steps import statement_programs
from prover.curve.srs import SRS
from prover.errors import ChunkSizeError, GainsayError
from prover.field.reference import SCALAR_MODULUS
from prover.plan import PRIVATE, PUBLIC
from prover.proof import ProofShape
from prover.statement import Statement, StepKey, VerifyingKey
from prover.verify import verify
from tests.prover.architectures.proven import public_statement as of_family
from tests.prover.architectures.random_models import FAMILIES
from tests.prover.operators.random_layers import SMALL
from tests.prover.private.statements import Private, hidden, private
from tests.prover.statements import CASES, proven, srs
from tests.tampering.manifest import changes, once_each
from tests.verifier_gen.evm import ACCEPTED, FALSE, Evm, Verifier
from tests.verifier_gen.statements import contract_of, prove_random_embedding, small_sources
from verifier_gen import CONTRACTS, generate_sources
from verifier_gen.generator import step_verifier

LARGEST_CODE = 24_576
MORE_GAS = 45_500
"""Of random layers, whose public proofs have words of zeros that cost less; real ones stay below 45,000 (docs/zero-knowledge.md)."""
KINDS = (
    ("head", 0),
    ("mlp", 0),
    pytest.param("attention", 2, marks=pytest.mark.long),
    *(pytest.param(kind, window, marks=pytest.mark.long) for kind, window in CASES),
)


@pytest.fixture(scope="session")
def deployed(evm: Evm, artifacts: dict[str, Artifact]) -> Callable[[VerifyingKey], Verifier]:
    """The verifier of a key; those that the session compiles anyway are taken from there."""
    known: dict[bytes, Verifier] = {}
    compiled = small_sources(srs())

    def make(key: VerifyingKey) -> Verifier:
        if key.digest not in known:
            plain = key.plan.program.name
            name = contract_of(plain if key.plan.privacy == PUBLIC else f"private {plain}")
            source = step_verifier(key, insecure=True).replace(
                f"contract {CONTRACTS[plain]} ", f"contract {name} "
            )
            path = f"{name}.sol"
            ours = artifacts if compiled.get(path) == source else compile_sources({path: source})
            assert len(ours[name].runtime_code) < LARGEST_CODE
            known[key.digest] = evm.deploy(ours[name].creation_code)
        return known[key.digest]

    return make


Deployed = Callable[[VerifyingKey], Verifier]


@pytest.mark.parametrize(("kind", "window"), KINDS)
def test_a_true_private_statement_is_accepted(deployed: Deployed, kind: str, window: int) -> None:
    statement = private(kind, window)
    verifier = deployed(statement.key)
    assert verifier.verdict(*statement.calldata) == ACCEPTED
    public = proven(kind, window)
    scalars = [public.statement.publics[n] for n in public.verifying_key.plan.program.public_scalars]
    words = [*scalars, *(c for point in public.statement.inputs for c in point)]
    gas = deployed(public.verifying_key).gas_used(public.statement.key.encode(), words, public.proof.encode())
    assert verifier.gas_used(*statement.calldata) - gas < MORE_GAS


def test_a_step_that_commits_to_masks_only(deployed: Deployed) -> None:
    """A tile that only multiplies has no witness of its own: nothing in phase 2, and a last round of degree 4."""
    statement = hidden(*of_family(FAMILIES["gpt2-tiled"], "keys_values_tile", layer=0))
    shape = ProofShape.of(statement.key.plan, 5, statement.key.chunk_bits)
    assert (shape.commitments, shape.inverses, shape.last_degree) == (2, 0, 4)
    key, inputs, encoded = statement.calldata
    verifier = deployed(statement.key)
    assert verifier.verdict(key, inputs, encoded) == ACCEPTED
    changed = bytearray(encoded)
    changed[32 * (shape.words - 23) + 31] ^= 1  # b*
    assert verifier.verdict(key, inputs, bytes(changed)) == FALSE


def python_accepts(statement: Private, key: bytes, inputs: list[int], proof: bytes) -> bool:
    plan = statement.key.plan
    names = plan.program.public_scalars
    points = inputs[len(names) :]
    try:
        decoded = StepKey.decode(key, plan, statement.key.chunk_bits)
        publics = dict(zip(names, inputs, strict=False))
        verify(
            statement.key,
            Statement(decoded, publics, tuple(zip(points[::2], points[1::2], strict=True))),
            proof,
        )
    except GainsayError:
        return False
    return True


@pytest.mark.parametrize("kind", ["head", pytest.param("mlp", marks=pytest.mark.long)])
def test_every_change_of_a_private_proof_is_rejected_by_both(deployed: Deployed, kind: str) -> None:
    """The manifest walks the proof by its types: masks and blinding are in it without being named."""
    statement = private(kind)
    key, inputs, _ = statement.calldata
    tried = once_each(list(changes(statement.proof)))
    assert {"commitments", "rounds", "evaluations", "blinding", "opening.h"} <= {c.field for c in tried}
    verifier = deployed(statement.key)
    for change in tried:
        proof = change.result
        try:
            encoded = proof.encode()
        except OverflowError:
            continue
        assert verifier.verdict(key, inputs, encoded) != ACCEPTED, (change.field, change.kind)
        assert not python_accepts(statement, key, inputs, encoded), (change.field, change.kind)


def test_every_word_of_masks_is_read(deployed: Deployed) -> None:
    """Each word that a private proof has more than a public one, changed alone: the reason is the same in both."""
    statement = private("mlp")
    key, inputs, encoded = statement.calldata
    shape = ProofShape.of(statement.key.plan, 5, 18)
    verifier = deployed(statement.key)
    rounds = 2 * (shape.commitments + shape.inverses) + shape.round_degree * (shape.rounds - 1)
    blinding = shape.words - 22 - 1
    expected = {
        **{rounds + d: FALSE for d in range(shape.last_degree)},
        blinding: FALSE,
        2 * shape.commitments - 4: "InvalidPoint",
        2 * shape.commitments - 2: "InvalidPoint",
    }
    for word, verdict in expected.items():
        changed = bytearray(encoded)
        changed[32 * word + 31] ^= 1
        assert verifier.verdict(key, inputs, bytes(changed)) == verdict, word
        assert not python_accepts(statement, key, inputs, bytes(changed))
    for word in (*range(rounds, rounds + shape.last_degree), blinding):
        changed = bytearray(encoded)
        changed[32 * word : 32 * word + 32] = b"\xff" * 32
        assert verifier.verdict(key, inputs, bytes(changed)) == "NotCanonical"


def test_a_private_model_has_all_verifiers() -> None:
    sources = generate_sources(SMALL, srs(), PRIVATE)
    assert set(sources) == {f"{CONTRACTS[kind]}.sol" for kind in (*statement_programs(SMALL), "embedding")}


def test_a_private_embedding(evm: Evm, artifacts: dict[str, Artifact]) -> None:
    """128 bytes more than a public one and at most 20,000 gas; numbers that are not reduced are refused by name."""
    public, private = (prove_random_embedding(srs(), privacy=privacy) for privacy in (PUBLIC, PRIVATE))
    plain, masked = (evm.deploy(artifacts[contract_of(p.kind)].creation_code) for p in (public, private))
    assert len(private.proof) - len(public.proof) == 128
    gas = plain.gas_used(public.key, public.inputs, public.proof)
    more = masked.gas_used(private.key, private.inputs, private.proof) - gas
    assert 0 < more < 20_000, more
    for place in (2, 3):
        word = int.from_bytes(private.proof[32 * place : 32 * place + 32], "big")
        again = (word + SCALAR_MODULUS).to_bytes(32, "big")
        changed = private.proof[: 32 * place] + again + private.proof[32 * place + 32 :]
        assert masked.verdict(b"", private.inputs, changed) == "NotCanonical"
        assert not private.python_accepts(b"", private.inputs, changed)
    assert plain.verdict(b"", private.inputs, private.proof) == "WrongLength"
    assert masked.verdict(b"", public.inputs, public.proof) == "WrongLength"


@cache
def _small() -> SRS:
    return SRS.devnet(8)


def test_masks_need_room_in_a_chunk() -> None:
    program = proven("head").verifying_key.plan.program
    with pytest.raises(ChunkSizeError, match="too many for chunks of 2\\^8"):
        VerifyingKey.create(program, _small(), PRIVATE)


@pytest.mark.long
@pytest.mark.parametrize(
    ("family", "kind"),
    [(family, kind) for family, config in FAMILIES.items() for kind in statement_programs(config)],
)
def test_every_family_on_chain(deployed: Deployed, family: str, kind: str) -> None:
    """Accepted, and with one word of the blinding changed refused; the code fits a contract."""
    window = 2 if statement_programs(FAMILIES[family])[kind].has_context else 0
    statement = hidden(*of_family(FAMILIES[family], kind, window))
    key, inputs, proof = statement.calldata
    verifier = deployed(statement.key)
    assert verifier.verdict(key, inputs, proof) == ACCEPTED
    changed = bytearray(proof)
    changed[-32 * 22 - 1] ^= 1
    assert verifier.verdict(key, inputs, bytes(changed)) == FALSE
