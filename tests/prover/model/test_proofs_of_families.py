"""From floats to proofs: what each family's model computes is what its layer programs prove."""

from __future__ import annotations

import pytest

from prover.curve.srs import SRS
from prover.embedding import verify_embedding
from prover.model.library import BUILT_IN, load_model
from prover.model_commitment import commit_model
from prover.replay import Replay
from prover.verify import verify

pytestmark = pytest.mark.long

FAMILIES = [name for name in BUILT_IN if name.startswith("tiny-")]


@pytest.fixture(scope="module")
def srs() -> SRS:
    return SRS.devnet(18)


@pytest.fixture(scope="module", params=FAMILIES)
def replay(request: pytest.FixtureRequest, srs: SRS) -> Replay:
    """A prompt over two windows, and its right continuation."""
    model = load_model(request.param)
    commitment = commit_model(model, srs, cache_dir=None)
    prompt = [(7 * index) % 256 for index in range(40)]
    first = Replay(model, commitment, srs, prompt, [0]).argmax(len(prompt) - 1)
    return Replay(model, commitment, srs, prompt, [first])


def test_the_first_layers_steps_are_proven_at_the_second_window(replay: Replay) -> None:
    config = replay.model.config
    for kind in config.kinds:
        step = config.number_of(kind)
        verify(replay.system.verifying_key(kind), replay.step_statement(step, 1), replay.prove_step(step, 1))


def test_a_later_layer_is_proven_by_the_same_programs(replay: Replay) -> None:
    """Gemma's second layer is global, its first local."""
    for kind in ("keys_values", "attention"):
        step = replay.model.config.number_of(kind, 1)
        verify(replay.system.verifying_key(kind), replay.step_statement(step, 1), replay.prove_step(step, 1))


def test_the_next_token_beats_its_rivals(replay: Replay) -> None:
    position, chosen = 39, replay.sequence[-1]
    for rival in {0, 258} - {chosen}:
        statement = replay.head_statement(position, rival)
        verify(replay.system.verifying_key("head"), statement, replay.prove_head(position, rival))


def test_the_embedding_is_proven(replay: Replay) -> None:
    verify_embedding(replay.system.embedding_key, *replay.embedding_inputs(1), replay.prove_embedding(1))
