"""How much of each declared range a model really uses, tensor by tensor and layer by layer.

A value outside its range makes the provider refuse the request, so import runs the integer model over calibration
text and records the largest value of each tensor. Head-room below 4 is reported; tensors that cannot leave their
range by construction are recorded but need none. The padded rows of the last window, which proofs contain beside those of
a text, count too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..architectures.config import ModelConfig
from .execute import Executor, Rows
from .texts import CALIBRATION_CHAPTERS, python_prose
from .weights import IntegerModel, ObservedRange

REQUIRED_HEADROOM = 4.0

_EXCHANGES = (
    "What is the capital of France, and how far is it from Berlin in kilometres?",
    "Write a Python function that returns the first n prime numbers, with a docstring.",
    "List 5 reasons why 3 * 17 = 51 is not prime!!! Répondez en français, 请用中文, или по-русски. 🙂",
)


def declared_limits(config: ModelConfig) -> dict[str, int]:
    """Exclusive bound on the absolute value of every tensor of a layer whose range an operator checks.

    Some names exist in several kinds of step; their ranges are the same, and so is what they hold.
    """
    return {name: limit for kind in config.kinds for name, limit in config.programs[kind].limits.items()}


def bounded_by_construction(config: ModelConfig) -> frozenset[str]:
    """Those of them that cannot leave their range, whatever the input."""
    return frozenset(name for kind in config.kinds for name in config.programs[kind].bounded)


def calibration_sequences(model: IntegerModel, tokens: int) -> list[list[int]]:
    """Prose of at most `tokens` tokens, and short conversations when the model has a chat template."""
    prose = model.tokenizer.encode(python_prose(CALIBRATION_CHAPTERS).text)[
        : min(tokens, model.config.max_positions)
    ]
    if model.tokenizer.specification.chat_template is None:
        return [prose]
    chats = [model.tokenizer.encode_chat([{"role": "user", "content": text}]) for text in _EXCHANGES]
    return [prose, *(chat[: model.config.max_positions] for chat in chats)]


def observe(
    model: IntegerModel,
    sequences: Sequence[Sequence[int]],
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[ObservedRange, ...]:
    """Largest absolute value per tensor and layer over the sequences, padded rows included.

    Raises prover.program.OutOfRange.
    """
    limits = declared_limits(model.config)
    largest: dict[tuple[str, int], int] = {}

    def record(layer: int, tensors: dict[str, np.ndarray]) -> None:
        for name, values in tensors.items():
            if name in limits:
                key = (name, layer)
                largest[key] = max(largest.get(key, 0), int(np.abs(values).max()))

    executor = Executor(model, observer=record)
    steps = len(model.config.schedule)
    for index, ids in enumerate(sequences):

        def report(step: int, written: Rows, done: int = index * steps) -> None:
            model.release_pages()  # a mapped model: one layer in memory, not all of them
            if progress:
                progress("calibrate", done + step + 1, len(sequences) * steps)

        decoding = executor.start()
        executor.feed_rows(executor.embed(ids), decoding, on_step=report)
        executor.finish_window(decoding)
    return tuple(
        ObservedRange(name, layer, value, limits[name]) for (name, layer), value in sorted(largest.items())
    )


def calibrate(
    model: IntegerModel, *, tokens: int = 512, progress: Callable[[str, int, int], None] | None = None
) -> IntegerModel:
    """The same model with its observed ranges recorded."""
    return replace(model, observed=observe(model, calibration_sequences(model, tokens), progress=progress))


def worst_headroom(observed: Sequence[ObservedRange]) -> dict[str, ObservedRange]:
    """Per tensor, the layer that comes nearest to the limit."""
    worst: dict[str, ObservedRange] = {}
    for entry in observed:
        if entry.tensor not in worst or entry.headroom < worst[entry.tensor].headroom:
            worst[entry.tensor] = entry
    return worst


def short_of_headroom(model: IntegerModel) -> list[ObservedRange]:
    """Observed ranges with less than REQUIRED_HEADROOM, apart from those bounded by construction; worst first."""
    bounded = bounded_by_construction(model.config)
    short = [e for e in model.observed if e.headroom < REQUIRED_HEADROOM and e.tensor not in bounded]
    return sorted(short, key=lambda entry: entry.headroom)
