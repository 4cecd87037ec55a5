"""True statements are accepted, at a price and a size that a chain allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from contracts.bindings.compiler import compile_sources
from prover.curve.srs import SRS
from tests.prover.operators.random_layers import SMALL
from tests.verifier_gen.evm import ACCEPTED, Evm, Verifier
from tests.verifier_gen.statements import REAL, Proven, prove_random, prove_random_embedding
from verifier_gen import CONTRACTS, generate_sources
from verifier_gen.generator import step_verifier

LARGEST_CODE = 24_576
LARGEST_GAS = 1_000_000

Verifiers = Callable[[str], Verifier]
Statements = Callable[..., Proven]


@pytest.mark.parametrize(
    ("kind", "window"),
    [
        ("mlp", 0),
        ("head", 0),
        ("embedding", 0),
        ("attention", 0),
        ("attention", 3),
        *(pytest.param("attention", window, marks=pytest.mark.long) for window in (1, 2, 4, 7)),
    ],
)
def test_a_true_statement_is_accepted(
    verifier_of: Verifiers, proven: Statements, kind: str, window: int
) -> None:
    statement = proven(kind, window)
    assert statement.python_accepts(statement.key, statement.inputs, statement.proof)
    verifier = verifier_of(kind)
    assert verifier.verdict(statement.key, statement.inputs, statement.proof) == ACCEPTED
    assert verifier.gas_used(statement.key, statement.inputs, statement.proof) < LARGEST_GAS


def test_chunks_smaller_than_tensors(evm: Evm) -> None:
    """mu = 14: the range table takes eight chunks, a stack's coordinates come from slots and from r."""
    small = SRS.devnet(14)
    statement = prove_random("head", small)
    source = step_verifier(statement.verifying_key, insecure=True)  # type: ignore[arg-type]
    artifact = compile_sources({"HeadVerifier.sol": source})["HeadVerifier"]
    verifier = evm.deploy(artifact.creation_code)
    assert verifier.verdict(statement.key, statement.inputs, statement.proof) == ACCEPTED
    changed = bytearray(statement.proof)
    changed[31] ^= 1
    assert verifier.verdict(statement.key, statement.inputs, bytes(changed)) != ACCEPTED


def test_models_of_one_architecture_share_their_verifiers(srs: SRS) -> None:
    other = replace(SMALL, layers=7, vocabulary=1000)
    assert generate_sources(other, srs) == generate_sources(SMALL, srs)
    assert generate_sources(replace(SMALL, feed_forward=48), srs) != generate_sources(SMALL, srs)


def test_the_real_shape_fits_into_contracts(srs: SRS) -> None:
    artifacts = compile_sources(generate_sources(REAL, srs))
    for name in CONTRACTS.values():
        assert 0 < len(artifacts[name].runtime_code) <= LARGEST_CODE


@pytest.mark.long
def test_gas_of_the_real_shape(srs: SRS, evm: Evm, capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = compile_sources(generate_sources(REAL, srs))
    for kind, window in (("mlp", 0), ("attention", 0), ("attention", 3), ("head", 0), ("embedding", 0)):
        if kind == "embedding":
            statement = prove_random_embedding(srs, REAL)
        else:
            statement = prove_random(kind, srs, window, REAL)
        verifier = evm.deploy(artifacts[CONTRACTS[kind]].creation_code)
        assert verifier.verdict(statement.key, statement.inputs, statement.proof) == ACCEPTED
        gas = verifier.gas_used(statement.key, statement.inputs, statement.proof)
        with capsys.disabled():
            size = len(artifacts[CONTRACTS[kind]].runtime_code)
            print(
                f"\n{kind} window {window}: {gas} gas, {size} bytes of code, {len(statement.proof)} bytes of proof"
            )
        assert gas < LARGEST_GAS
