"""Games about models whose layers are cut into tiles, of families that have more than Llama around them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.bindings.deployment import ProtocolContracts, verifier_artifacts
from contracts.bindings.registration import register_model
from contracts.protocol.actions import ProveStep
from contracts.protocol.game import Outcome, Reason, Side
from contracts.protocol.response import ResponseFields
from prover.architectures import ModelConfig
from prover.model.library import built_in_config
from prover.model.seeded import seeded_model
from prover.model.tiny import tiny_tokenizer
from prover.model.weights import IntegerModel
from prover.model_commitment import commit_model
from prover.replay import Replay
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain
from tests.contracts.mistaken import Mistaken
from tests.prover.statements import srs
from verifier_gen import generate_sources

PROMPT = [72, 101, 108, 108, 111] * 8
STEP_WEIGHTS = {"gemma3": 2047, "gpt2": 4000, "olmo2": 3000, "deepseek-v3": 2000}
DISPUTED = {
    "gemma3": ("attention_close", "mlp_tile"),  # norms behind the sub-layers
    "gpt2": ("keys_values_tile", "keys_values_close"),
    "olmo2": ("query_close", "attention_tile"),
    "deepseek-v3": ("query_latent_tile", "query_latent_close"),
}


def _config(family: str) -> ModelConfig:
    return replace(built_in_config(f"tiny-{family}"), step_weights=STEP_WEIGHTS[family])


@pytest.fixture(scope="module", params=list(DISPUTED))
def played(
    request: pytest.FixtureRequest, local_chain: LocalChain, contracts: ProtocolContracts
) -> tuple[Arena, Replay]:
    config = _config(request.param)
    model = IntegerModel.from_float(seeded_model(f"{request.param} in tiles", config, tiny_tokenizer()))
    commitment = commit_model(model, srs(), cache_dir=None)
    provider, challenger = local_chain.sender(1), local_chain.sender(2)
    artifacts = verifier_artifacts(generate_sources(config, srs()))
    model_id = register_model(provider, contracts, commitment, artifacts)
    provider.send(contracts.stake.deposit(10 * 10**18), key=f"stake {model_id.hex()}")
    first = Replay(model, commitment, srs(), PROMPT, [0]).argmax(len(PROMPT) - 1)
    assert first is not None
    truth = Replay(model, commitment, srs(), PROMPT, [first])
    arena = Arena(local_chain, contracts, commitment, model_id, provider, challenger)  # type: ignore[arg-type]
    return arena, truth


CASES = [
    pytest.param(family, kind, marks=pytest.mark.long if long else ())
    for family, disputed in DISPUTED.items()
    for kind in _config(family).kinds
    for long in (family in ("olmo2", "deepseek-v3", "gpt2") or kind not in disputed,)
]


@pytest.mark.parametrize(("played", "kind"), CASES, indirect=["played"])
def test_an_honest_provider_proves_every_kind_of_step_of_a_layer_in_tiles(
    played: tuple[Arena, Replay], kind: str
) -> None:
    """The last tile of the second layer, in the second window; the challenger is wrong about what it writes."""
    arena, truth = played
    config, window = truth.model.config, 1
    step = config.number_of(kind, 0 if config.steps[kind].once else 1, config.steps[kind].tiles - 1)
    (token,) = truth.output_ids
    batch = arena.post([ResponseFields.of(PROMPT, [token], 1, 0)])
    game = arena.play(arena.open(batch, 0), truth, Mistaken(truth, (step + 1, window), None))
    assert (game.outcome, game.reason) == (Outcome.PROVIDER_WON, Reason.PROVEN)
    assert game.range_start == step
    assert arena.moves[-1] == (Side.PROVIDER, ProveStep(step, window))
    assert config.schedule[game.range_start].kind == kind
