"""Verifiers generated for other families than Llama accept fresh statements and fit into contracts.

Kept proofs of theirs are in test_golden_proofs.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.bindings.compiler import compile_sources
from prover.architectures import ModelConfig
from prover.architectures.steps import GLOBAL, LOCAL
from prover.curve.srs import SRS
from prover.statement import VerifyingKey
from tests.prover.architectures.proven import proven, public_statement
from tests.prover.architectures.random_models import FAMILIES
from tests.prover.architectures.real_shapes import REAL_SHAPES
from tests.prover.operators.random_layers import input_points
from tests.prover.operators.routing_lies import another_expert
from tests.prover.statements import srs
from tests.tampering.malicious_prover import MaliciousProver
from tests.verifier_gen.evm import ACCEPTED, FALSE, Evm
from tests.verifier_gen.golden_proofs import golden
from verifier_gen import CONTRACTS, generate_sources
from verifier_gen.generator import step_verifier

LARGEST_CODE, LARGEST_GAS = 24_576, 1_000_000

CASES = [
    ("gemma3", "attention", 1, 0),
    *((family, kind, 0, 0) for family in ("gpt2", "gemma3") for kind in FAMILIES[family].steps),
    *(
        (family, kind, 2, 0)
        for family in ("gpt2", "qwen2", "qwen3", "gemma3")
        for kind in ("keys_values", "attention")
    ),
    ("gpt2", "positions", 2, 0),
    ("gemma3", "attention", 2, 1),
    ("gemma3", "keys_values", 2, 1),
    ("smollm3", "keys_values", 1, 1),
    ("olmo2", "keys_values", 1, 0),
    ("llama-local", "attention", 2, 0),
    *((family, "attention_tile", 2, 1) for family in ("llama-local-tiled", "smollm3-tiled")),
    ("qwen3-tiled", "attention_tile", 1, 0),
    *(("llama-local-tiled", kind, 0, 0) for kind in FAMILIES["llama-local-tiled"].steps),
    ("llama-local", "mlp", 0, 0),
    ("smollm3", "attention", 1, 1),
    ("phi3", "attention", 0, 0),
    ("olmo2", "attention", 1, 0),
    ("olmo2", "mlp", 0, 0),
    *(("mixtral", kind, 0, 0) for kind in ("router", "expert_tile")),
    ("qwen3-moe", "router", 0, 0),
    *(("deepseek-v3", kind, 2, 0) for kind in ("keys_values", "attention")),
    ("deepseek-v3", "router", 0, 0),
    *((family, "head_tile", 0, 0) for family in ("gpt2", "gemma3", "llama-tiled")),
    *(("deepseek-v3-tiled", kind, 1, 0) for kind in ("query_latent", "attention_tile", "router")),
    *(("deepseek-v3-cut", kind, 0, 0) for kind in ("query_latent_tile", "query_latent_close")),
]


def test_a_kept_statement_of_a_family_fits_into_a_contract_and_a_transaction(evm: Evm) -> None:
    kept = golden("gemma3 attention of window 0, layer 0")
    assert isinstance(kept.verifying_key, VerifyingKey)
    source = step_verifier(kept.verifying_key, insecure=True)
    artifact = compile_sources({"AttentionVerifier.sol": source})["AttentionVerifier"]
    assert len(artifact.runtime_code) <= LARGEST_CODE
    verifier = evm.deploy(artifact.creation_code)
    assert verifier.gas_used(kept.key, kept.inputs, kept.proof) < LARGEST_GAS
    swapped = [*kept.inputs[:-4], *kept.inputs[-2:], *kept.inputs[-4:-2]]
    assert verifier.verdict(kept.key, swapped, kept.proof) == FALSE
    place = 32 * kept.verifying_key.plan.program.parameters.index("layer_kind")
    for layer_kind, verdict in ((0, "OutOfRange"), (GLOBAL, FALSE), (3, "OutOfRange"), (16, "OutOfRange")):
        key = kept.key[:place] + layer_kind.to_bytes(32, "big") + kept.key[place + 32 :]
        assert verifier.verdict(key, kept.inputs, kept.proof) == verdict, layer_kind


@pytest.mark.long
@pytest.mark.parametrize(("family", "kind", "window", "layer"), CASES)
def test_a_true_statement_is_accepted_and_a_changed_one_is_not(
    evm: Evm, family: str, kind: str, window: int, layer: int
) -> None:
    """Changed: the last parameter of the step key, or a commitment where there is none."""
    case = proven(family, kind, window, layer)
    contract = CONTRACTS[kind]
    source = step_verifier(case.key, insecure=True)
    artifact = compile_sources({f"{contract}.sol": source})[contract]
    assert len(artifact.runtime_code) <= LARGEST_CODE
    verifier = evm.deploy(artifact.creation_code)
    key, inputs, proof = case.calldata
    assert verifier.verdict(key, inputs, proof) == ACCEPTED
    assert verifier.gas_used(key, inputs, proof) < LARGEST_GAS
    parameters = case.key.plan.program.parameters
    if "layer_kind" in parameters:
        changed = bytearray(key)
        changed[32 * parameters.index("layer_kind") + 31] ^= LOCAL ^ GLOBAL
        assert verifier.verdict(bytes(changed), inputs, proof) == FALSE
    swapped = [*inputs[:-4], *inputs[-2:], *inputs[-4:-2]]
    assert verifier.verdict(key, swapped, proof) == FALSE


@pytest.mark.long
def test_a_false_routing_is_rejected(evm: Evm) -> None:
    """Another expert for one row, the window of gates committed accordingly; every check that a liar can repair is repaired."""
    key, statement, tensors = public_statement(FAMILIES["mixtral"], "router")
    artifact = compile_sources({"RouterVerifier.sol": step_verifier(key, insecure=True)})["RouterVerifier"]
    verifier = evm.deploy(artifact.creation_code)
    true = proven("mixtral", "router")
    assert verifier.verdict(*true.calldata) == ACCEPTED
    another_expert(key.plan.program, tensors)
    points = input_points(key.plan, srs(), tensors, dict(statement.publics))
    forged = replace(statement, inputs=points)
    assert forged.inputs != statement.inputs
    words = [coordinate for point in points for coordinate in point]
    for proof in MaliciousProver(key, srs(), forged, tensors).cheat().values():
        assert verifier.verdict(forged.key.encode(), words, proof.encode()) == FALSE


@pytest.mark.long
@pytest.mark.parametrize("config", REAL_SHAPES, ids=lambda config: config.family)
def test_real_shapes_fit_into_contracts(config: ModelConfig) -> None:
    artifacts = compile_sources(generate_sources(config, SRS.devnet(18)))
    for kind in (*config.steps, "embedding"):
        assert 0 < len(artifacts[CONTRACTS[kind]].runtime_code) <= LARGEST_CODE
