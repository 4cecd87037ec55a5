"""Verifiers generated for other families than Llama accept true statements and fit into contracts."""

from __future__ import annotations

import pytest

from contracts.bindings.compiler import compile_sources
from prover.architectures import ModelConfig
from prover.architectures.gemma3 import GLOBAL, LOCAL, Gemma3Config
from prover.architectures.gpt2 import Gpt2Config
from prover.architectures.qwen2 import Qwen2Config
from prover.architectures.qwen3 import Qwen3Config
from prover.curve.srs import SRS
from tests.prover.architectures.proven import proven
from tests.verifier_gen.evm import ACCEPTED, FALSE, Evm
from verifier_gen import CONTRACTS, generate_sources
from verifier_gen.generator import step_verifier

LARGEST_CODE, LARGEST_GAS = 24_576, 1_000_000

GEMMA3_270M = Gemma3Config(
    layers=18,
    hidden=640,
    heads=4,
    kv_heads=1,
    head_size=256,
    feed_forward=2048,
    vocabulary=262_144,
    rope_base=1_000_000,
    local_rope_base=10_000,
    sliding_window=512,
    layer_kinds=tuple(GLOBAL if layer % 6 == 5 else LOCAL for layer in range(18)),
    attention_scale=0.0625,
    norm_epsilon=1e-6,
    max_positions=1024,
)
GPT2_SMALL = Gpt2Config(
    layers=12,
    hidden=768,
    heads=12,
    feed_forward=3072,
    vocabulary=50_257,
    norm_epsilon=1e-5,
    max_positions=1024,
)
QWEN2_HALF_B = Qwen2Config(
    layers=24,
    hidden=896,
    heads=14,
    kv_heads=2,
    head_size=64,
    feed_forward=4864,
    vocabulary=151_936,
    rope_base=1_000_000,
    norm_epsilon=1e-6,
    max_positions=2048,
)
QWEN3_SMALL = Qwen3Config(
    layers=28,
    hidden=1024,
    heads=16,
    kv_heads=8,
    head_size=128,
    feed_forward=3072,
    vocabulary=151_936,
    rope_base=1_000_000,
    norm_epsilon=1e-6,
    max_positions=2048,
)

SHORT = [("gemma3", "attention", 1, 0)]
LONG = [
    *((family, kind, 0, 0) for family in ("gpt2", "gemma3") for kind in ("mlp", "head", "attention")),
    *((family, "attention", 2, 0) for family in ("gpt2", "qwen2", "qwen3", "gemma3")),
    ("gemma3", "attention", 2, 1),
]


@pytest.mark.parametrize(
    ("family", "kind", "window", "layer"),
    [
        *(pytest.param(*case) for case in SHORT),
        *(pytest.param(*case, marks=pytest.mark.long) for case in LONG),
    ],
)
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
@pytest.mark.parametrize(
    "config", [GEMMA3_270M, GPT2_SMALL, QWEN2_HALF_B, QWEN3_SMALL], ids=lambda config: config.family
)
def test_real_shapes_fit_into_contracts(config: ModelConfig) -> None:
    artifacts = compile_sources(generate_sources(config, SRS.devnet(18)))
    for name in CONTRACTS.values():
        assert 0 < len(artifacts[name].runtime_code) <= LARGEST_CODE
