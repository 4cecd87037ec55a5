"""Whatever a model generates is found valid, and a token that takes it out of range makes an answer invalid."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from challenger.verdicts import Judgement, Verdict, judge
from contracts.protocol.game import ModelRules
from contracts.protocol.response import ResponseFields
from prover.model.execute import Executor
from prover.model.library import BUILT_IN, load_model
from prover.model.weights import IntegerModel
from prover.model_commitment import ModelCommitment, commit_model
from prover.program import OutOfRange
from prover.replay import Replay, trace_together
from prover.sampling import SCALES, Sampling
from tests.prover.model.leaving_model import leaving
from tests.prover.statements import srs

VARIED_LLAMAS = ("tiny-mistral", "tiny-smollm3", "tiny-granite", "tiny-phi3")  # made of the same operators
NOT_NORMALISED = "tiny-olmo2"
"""Its matrices read the stream itself: no token leaves by its direction alone (tests/prover/model/leaving_model.py)."""
FAMILIES = [
    pytest.param(name, marks=[pytest.mark.long] if name in VARIED_LLAMAS else [])
    for name in BUILT_IN
    if name.startswith("tiny") and name != NOT_NORMALISED
]
LEAVERS = (200, 201)


@cache
def leaver(family: str) -> tuple[IntegerModel, ModelCommitment]:
    """Two tokens leave: one in the first attention or MLP step, one in a later layer."""
    model = load_model(family)
    matrix = "w_query" if family in ("tiny", "tiny-qwen2", "tiny-gpt2", *VARIED_LLAMAS) else "w_gate"
    exits = {}
    for layer, token in enumerate(LEAVERS):
        # every row meets a layer's router, as it does not every expert
        exits[token] = layer, "w_router" if "router" in model.config.kinds_of(layer) else matrix
    changed = leaving(model, exits)
    return changed, commit_model(changed, srs(), cache_dir=None)


def verdict(family: str, prompt: list[int], output: list[int], max_tokens: int) -> Verdict:
    model, commitment = leaver(family)
    rules = ModelRules.of(commitment, 8)
    return judge(
        ResponseFields.of(prompt, output, max_tokens, 0),
        prompt,
        output,
        rules,
        commitment.max_positions,
        lambda p, o, _: Replay(model, commitment, srs(), p, o),
        commitment.step_name,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_generated_is_valid_and_what_is_refused_is_not(family: str) -> None:
    """Prompts of all lengths around a window; every third one holds a token that leaves."""
    executor = Executor(leaver(family)[0])
    answered = refused = 0
    for number, length in enumerate((1, 2, 30, 31, 32, 33, 40, 64, 65)):
        draw = np.random.default_rng(number)
        prompt = [int(token) for token in draw.integers(0, 200, length)]
        if number % 3 == 1:
            prompt[int(draw.integers(length))] = LEAVERS[number % 2]
        try:
            output = executor.generate(prompt, 4).ids
        except OutOfRange:
            refused += 1
            found = verdict(family, prompt, [5, 6], 2)
            assert found.judgement is Judgement.INVALID
            asked = bool(
                {*prompt} & {*LEAVERS}
            )  # or the model says such a token itself, behind a wrong one of [5, 6]
            assert ("leaves its range" in found.why) == asked
            continue
        answered += 1
        assert verdict(family, prompt, output, 4).judgement is Judgement.VALID
        wrong = [*output[:-1], (output[-1] + 1) % 200]
        if len(wrong) == 4:
            assert verdict(family, prompt, wrong, 4).judgement is Judgement.INVALID
    assert answered >= 5 and refused >= 2


@pytest.mark.parametrize("family", ["tiny", "tiny-mixtral"])
def test_responses_that_are_re_run_together_get_the_verdicts_of_each_alone(family: str) -> None:
    """Right, wrong, sampled, and those in which a token leaves its range."""
    model, commitment = leaver(family)
    executor, draw = Executor(model), np.random.default_rng(3)
    rule = Sampling(900, 7) if model.logit_scale in SCALES else None
    asked: list[tuple[list[int], list[int], Sampling | None]] = []
    for number, length in enumerate((1, 31, 40, 33, 2, 64)):
        prompt = [int(token) for token in draw.integers(0, 200, length)]
        sampling = rule if number % 3 == 2 else None
        output = executor.generate(prompt, 3, sampling=sampling, end_ids=()).ids
        asked += [(prompt, output, sampling), (prompt, [*output[:-1], (output[-1] + 1) % 200], sampling)]
    asked.append(([5, LEAVERS[0], 7], [1, 2], None))
    asked.append(([5] * 40, [1, LEAVERS[1], 3], None))
    together = [Replay(model, commitment, srs(), p, o, None, s) for p, o, s in asked]
    trace_together(together)
    for (prompt, output, sampling), replay in zip(asked, together, strict=True):
        alone = Replay(model, commitment, srs(), prompt, output, None, sampling)
        assert replay.first_unprovable() == alone.first_unprovable()
        if alone.first_unprovable() is None:
            assert replay.predictions == alone.predictions
            assert replay.first_wrong_output() == alone.first_wrong_output()
    assert sum(replay.first_unprovable() is not None for replay in together) >= 2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_token_in_front_of_one_that_leaves_is_invalid(family: str) -> None:
    model, _ = leaver(family)
    prompt = [40 + position % 50 for position in range(20)]
    right = Executor(model).generate(prompt, 3, end_ids=()).ids
    right = [token - 1 if token in model.end_tokens else token for token in right]  # nothing ends the answer
    for token in LEAVERS:
        found = verdict(family, prompt, [(right[0] + 1) % 200, token, right[1], right[2]], 4)
        assert found.judgement is Judgement.INVALID
        assert "leaves its range in window 0: no proof exists" in found.why
    # The last token is never fed: it is wrong, but takes nothing out of range.
    last = verdict(family, prompt, [*right, LEAVERS[0]], 4)
    assert last.judgement is Judgement.INVALID and "the model says" in last.why
