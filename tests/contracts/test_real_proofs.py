"""Games that end with a real proof: the tiny model, its generated verifiers, all four kinds of step."""

from __future__ import annotations

import numpy as np
import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

from challenger.verdicts import Judgement, Verdict, judge
from contracts.bindings.compiler import protocol_artifacts
from contracts.bindings.contract import BoundContract
from contracts.bindings.deployment import ProtocolContracts, deploy_contract, verifier_artifacts
from contracts.bindings.errors import ContractError
from contracts.bindings.registration import expected_spec, register_model
from contracts.protocol.actions import ProveStep
from contracts.protocol.game import ModelRules, Outcome, Reason, Side
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from prover.curve.srs import SRS
from prover.model.execute import Executor
from prover.model.library import load_model
from prover.model_commitment import commit_model
from prover.replay import Replay
from prover.sampling import Sampling
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
        assert config.schedule[game.range_start].kind == kind
        assert arena.moves[-1] == (Side.PROVIDER, ProveStep(game.range_start, wrong_from[1]))


@pytest.mark.parametrize(
    "step", [3, pytest.param(4, marks=pytest.mark.long), pytest.param(5, marks=pytest.mark.long)]
)
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


# --- sampled answers ----------------------------------------------------------------------------------------


def _sampled(truth: Replay, rule: Sampling, token: int | None = None) -> Replay:
    """The trace of a token under a rule; of the rule's own where none is named."""
    model, last = (truth.model, truth.commitment, truth.srs), len(_PROMPT) - 1
    if token is None:
        token = Replay(*model, _PROMPT, [0], sampling=rule).argmax(last)
        assert token is not None
    return Replay(*model, _PROMPT, [token], sampling=rule)


def _logits(truth: Replay) -> np.ndarray:
    last = truth.trace.stream(truth.commitment.step_count)[len(_PROMPT) - 1 :]
    return Executor(truth.model).logits(last)[0]


@pytest.mark.parametrize("min_p", [0, 300])
def test_an_honest_sampled_answer_survives_a_false_challenge(
    arena_and_truth: tuple[Arena, Replay], min_p: int
) -> None:
    """Against the greedy token, and with min_p against one that it leaves out: there the most likely token answers."""
    arena, greedy = arena_and_truth
    logits = _logits(greedy)
    rule = Sampling(2500, 3, min_p)
    truth = _sampled(greedy, rule)
    (token,), last = truth.output_ids, len(_PROMPT) - 1
    assert token != greedy.output_ids[0]
    rival = int(logits.argmin()) if min_p else greedy.output_ids[0]
    assert (truth.winner(last, rival) == token) == (min_p == 0)
    batch = arena.post([ResponseFields.of(_PROMPT, [token], 1, 0, rule)])
    game = arena.play(arena.open(batch, 0), truth, Mistaken(truth, None, (last, rival)))
    assert (game.outcome, game.reason) == (Outcome.PROVIDER_WON, Reason.PROVEN)


@pytest.mark.parametrize(
    "used",
    [
        Sampling(2500, 4),
        pytest.param(Sampling(900, 3), marks=pytest.mark.long),
        pytest.param(None, marks=pytest.mark.long),
    ],
)
def test_attack_a_token_drawn_with_another_seed_or_temperature(
    arena_and_truth: tuple[Arena, Replay], used: Sampling | None
) -> None:
    """The leaf names one rule, the provider used another: it proves its pair, and the contract does not take it."""
    arena, greedy = arena_and_truth
    named, last = Sampling(2500, 3), len(_PROMPT) - 1
    believed = greedy if used is None else _sampled(greedy, used)
    (token,) = believed.output_ids
    challenger = _sampled(greedy, named, token)
    wrong = challenger.first_wrong_output()
    assert wrong is not None
    verdict = judge(
        ResponseFields.of(_PROMPT, [token], 1, 0, named),
        _PROMPT,
        [token],
        arena.rules,
        greedy.commitment.max_positions,
        lambda *_: challenger,
        greedy.commitment.step_name,
    )
    assert verdict == Verdict(Judgement.INVALID, f"after position {last} the model says {wrong[1]}")
    batch = arena.post([ResponseFields.of(_PROMPT, [token], 1, 0, named)])
    game_id = arena.open(batch, 0)
    for side, trace in ((Side.PROVIDER, believed), (Side.CHALLENGER, challenger)):
        arena.move(game_id, side, trace)
    with pytest.raises(ContractError, match="ProofRejected"):
        arena.move(game_id, Side.PROVIDER, believed)
    game = arena.play(game_id, None, challenger)
    assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.TIMED_OUT)
    # And a provider that does not believe its own lie gives up.
    again = arena.open(arena.post([ResponseFields.of(_PROMPT, [token], 1, 0, named)]), 0)
    conceded = arena.play(again, challenger, challenger)
    assert (conceded.outcome, conceded.reason) == (Outcome.CHALLENGER_WON, Reason.CONCEDED)
