"""A provider that sells one model and runs a cheaper one: 4-bit copies of some weights, from some layer on."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from prover.model.quantise import IntegerMatrix
from prover.model.weights import IntegerModel

from .errors import ScenarioFailed
from .hosted_provider import Answered, HostedProvider
from .result import RefusedProof, ScenarioResult
from .stage import Posted, Stage

BITS = 4
GROUP = 32
MAX_TOKENS = 20
#: The cheap copy may happen to give the right answer, which harms nobody; then the client asks on.
PROMPTS = (
    "Explain in one sentence why the sea is salty.",
    "Write a short line about autumn.",
    "Give me a tip for learning to cook.",
    "What should I pack for a trip to the mountains?",
)


def requantised(
    model: IntegerModel, first_layer: int, matrices: Collection[str] | None = None, bits: int = BITS
) -> IntegerModel:
    """The model with some matrices (all, if not named) of `first_layer` and all later layers rounded to `bits` bits per weight.

    One step size per group of weights of a row, as the largest of them needs; scales stay, so the copy runs on
    the same program.
    """
    layers = list(model.weights.layers)
    for layer in range(first_layer, len(layers)):
        layers[layer] = {
            name: _rounded(matrix, bits) if matrices is None or name in matrices else matrix
            for name, matrix in layers[layer].items()
        }
    return replace(model, weights=replace(model.weights, layers=layers))


def _rounded(matrix: IntegerMatrix, bits: int) -> IntegerMatrix:
    rows, columns = matrix.values.shape
    size = math.gcd(columns, GROUP)  # a small model may have rows of other lengths
    groups = matrix.values.astype(np.float64).reshape(rows, columns // size, size)
    step = np.maximum(np.abs(groups).max(axis=2, keepdims=True) / (2 ** (bits - 1) - 1), 1.0)
    rounded = np.rint(np.rint(groups / step) * step).astype(np.int16)
    return replace(matrix, values=rounded.reshape(rows, columns))


def cheap_weights(stage: Stage) -> ScenarioResult:
    """Must end `challenger_wins`, narrowed to the first step with weights of the first cheap layer."""
    first = stage.prepared.model.config.layers // 2
    house = stage.hire("spare 0", model=requantised(stage.prepared.model, first))
    stage.tell(f"a provider serves {BITS}-bit weights from layer {first} on under the honest model's id")
    book = stage.open_book(provider="spare 0", challenger="challenger")
    answered, posted = ask_until_wrong(stage, house)
    game = stage.play_out(stage.await_game(posted), lambda: bool(house.refused_moves))
    result = stage.dispute_result("cheap-weights", answered, game, book, house)
    result.refused_proofs = [
        RefusedProof("its own proof, over the cheap weights", error.name, None)
        for error in house.refused_moves[:1]
    ]
    config = stage.prepared.model.config
    schedule = config.schedule
    expected = next(
        number
        for number, step in enumerate(schedule)
        if step.layer == first and config.programs[step.kind].weights
    )
    stage.tell(f"{result.outcome}: {game.reason.name.lower()}, narrowed to {schedule[game.range_start]}")
    if game.range_start != expected:
        result.problem = f"it was narrowed to step {game.range_start} instead of {expected}"
    return result


def ask_until_wrong(stage: Stage, house: HostedProvider) -> tuple[Answered, Posted]:
    """Ask until the challenger finds an answer wrong. Raises `ScenarioFailed` when it never does."""
    for prompt in PROMPTS:
        answered, posted = stage.ask(house, prompt, MAX_TOKENS)
        if stage.await_verdict(posted) == "invalid":
            return answered, posted
    raise ScenarioFailed("the cheap weights gave the right answer to every question")
