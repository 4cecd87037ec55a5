"""Games that end with a real proof: the tiny model, its generated verifiers, all four kinds of step."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

from contracts.bindings.compiler import protocol_artifacts
from contracts.bindings.contract import BoundContract
from contracts.bindings.deployment import ProtocolContracts, deploy_contract, verifier_artifacts
from contracts.bindings.registration import expected_spec, register_model
from contracts.protocol.game import ModelRules, Outcome, Reason
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from prover.curve.srs import SRS
from prover.model.library import load_model
from prover.model_commitment import commit_model
from prover.replay import Replay
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain
from tests.contracts.mistaken import Mistaken
from verifier_gen import generate_sources

_PROMPT = [72, 101, 108, 108, 111] * 14


@pytest.fixture(scope="module")
def arena_and_truth(local_chain: LocalChain, contracts: ProtocolContracts) -> tuple[Arena, Replay]:
    model, srs = load_model("tiny"), SRS.devnet(18)
    commitment = commit_model(model, srs)
    artifacts = verifier_artifacts(generate_sources(model.config, srs))
    provider, challenger = local_chain.sender(1), local_chain.sender(2)
    model_id = register_model(provider, contracts, commitment, artifacts)
    assert contracts.registry.spec(model_id) == expected_spec(commitment, artifacts)
    assert register_model(provider, contracts, commitment, artifacts) == model_id
    provider.send(contracts.stake.deposit(10 * 10**18), key=f"stake {model_id.hex()}")
    first = Replay(model, commitment, srs, _PROMPT, [0]).argmax(len(_PROMPT) - 1)
    truth = Replay(model, commitment, srs, _PROMPT, [first])
    arena = Arena(local_chain, contracts, commitment, model_id, provider, challenger)  # type: ignore[arg-type]
    return arena, truth


@pytest.mark.parametrize(
    ("kind", "wrong_from"),
    [("embedding", (0, 2)), ("keys_values", (1, 2)), ("attention", (2, 2)), ("mlp", (6, 1)), ("head", None)],
)
def test_an_honest_provider_proves_every_kind_of_step(
    arena_and_truth: tuple[Arena, Replay], kind: str, wrong_from: tuple[int, int] | None
) -> None:
    arena, truth = arena_and_truth
    (token,) = truth.output_ids
    head = None if wrong_from else (len(_PROMPT) - 1, (token + 1) % 200)
    batch = arena.post([ResponseFields.of(_PROMPT, [token], 1, 0)])
    game = arena.play(arena.open(batch, 0), truth, Mistaken(truth, wrong_from, head))
    assert (game.outcome, game.reason) == (Outcome.PROVIDER_WON, Reason.PROVEN), kind
    if wrong_from and kind != "embedding":
        config = truth.model.config
        assert (config.schedule[game.range_start].kind, game.window) == (kind, wrong_from[1])


@pytest.mark.parametrize("step", [3, 4, 5])
def test_a_real_proof_passes_the_adapter_to_erc_8274(
    arena_and_truth: tuple[Arena, Replay], step: int
) -> None:
    arena, truth = arena_and_truth
    registry, window = arena.contracts.registry, 2
    artifact = protocol_artifacts()["StepProofVerifier"]
    address = deploy_contract(arena.provider, artifact, registry.address, key="adapter")
    adapter = BoundContract(arena.contracts.chain, address, artifact)
    access = arena.rules.step_access(truth.step_kind(step))
    streams = range(3)
    before, after = ([truth.stream_points(s, stream) for stream in streams] for s in (step, step + 1))
    inputs = access.statement_inputs(window, before, after)
    written = 2 * len(access.written)
    key = truth.commitment.step_keys[step]
    kind = truth.step_kind(step)
    evidence = (kind, key, truth.commitment.step_key_path(step), inputs, truth.prove_step(step, window))
    proof = encode(["(uint256,bytes,bytes32[],uint256[],bytes)"], [evidence])
    metadata = encode(["bytes32", "uint256"], [arena.model_id, step])
    words = [word.to_bytes(32, "big") for word in inputs]
    hashes = keccak(b"".join(words[:-written])), keccak(b"".join(words[-written:]))
    assert adapter._read("verify", *hashes, metadata, proof)
    assert not adapter._read("verify", *reversed(hashes), metadata, proof)
    flipped = bytes([evidence[4][0] ^ 1]) + evidence[4][1:]
    for other in ((*evidence[:4], flipped), ((kind + 1) % 3, *evidence[1:])):
        forged = encode(["(uint256,bytes,bytes32[],uint256[],bytes)"], [other])
        assert not adapter._read("verify", *hashes, metadata, forged)


def test_the_rules_of_a_model_come_from_its_commitment(arena_and_truth: tuple[Arena, Replay]) -> None:
    arena, truth = arena_and_truth
    assert arena.rules == ModelRules.of(truth.commitment, DEVNET.arity)  # type: ignore[arg-type]
