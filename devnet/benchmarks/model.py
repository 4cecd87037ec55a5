"""Decoding speed of the integer model beside float32 torch with the same shapes, cache and thread count, and what re-checking costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from prover.model.devices import open_device
from prover.model.execute import Executor
from prover.model.float_model import FloatModel
from prover.model.float_reference import KeyValueCache, final_rows
from prover.model.library import load_model
from prover.model.seeded import seeded_model
from prover.model.weights import IntegerModel

from .row_by_row import RowByRow

_PROMPT_TOKENS = 16
_CHECKED_PROMPT, _CHECKED_OUTPUT = 32, 128
_RUNS = 3


def measure_model(
    name: str, models: Path, tokens: int, commit: bool, device: str | None = None
) -> dict[str, Any]:
    """Median tokens per second of greedy decoding after a prompt of 16 tokens, what checking an answer costs beside generating it;
    optionally the commitment's seconds. `device`: where the integers are computed (`open_device`).
    """
    place = open_device(device)
    model = load_model(name, models=models)
    prompt = list(range(1, _PROMPT_TOKENS + 1))
    executor = RowByRow(model, device=place)
    executor.generate(prompt, 2, end_ids=())
    integer_s = _token_seconds(
        lambda heard: executor.generate(prompt, tokens, end_ids=(), on_token=heard),
    )
    # Weights of a seed: what the tokens are does not matter here, and no file has to be at hand.
    decoder = FloatDecoder(seeded_model(model.name, model.config, model.tokenizer))
    decoder.generate(prompt, 2, lambda _: None)
    float_s = _token_seconds(lambda heard: decoder.generate(prompt, tokens, heard))
    facts: dict[str, Any] = {
        "model": model.name,
        "tokens": tokens,
        "device": device or "without torch",
        "integer_tokens_per_s": round(1 / integer_s, 2),
        "float32_torch_tokens_per_s": round(1 / float_s, 2),
        "integer_to_float": round(float_s / integer_s, 3),
        "torch_threads": torch.get_num_threads(),
        **measure_checking(executor, Executor(model, device=place)),
    }
    if commit:
        facts["commit_s"] = round(_commit_seconds(model), 1)
    return facts


def measure_checking(executor: Executor, guessing: Executor) -> dict[str, Any]:
    """Processor seconds of all threads to generate an answer, row by row and with guesses, and to check it in one pass: the least of
    some runs by turns.

    A prompt of 32 tokens and 128 of output, or as many as the model's positions take.
    """
    room = min(_CHECKED_PROMPT + _CHECKED_OUTPUT, executor.model.config.max_positions)
    prompt = [1 + token % (executor.model.config.vocabulary - 1) for token in range(_CHECKED_PROMPT)]
    generating, ahead, checking = [], [], []
    output = executor.generate(prompt, room - len(prompt), end_ids=()).ids
    for _ in range(_RUNS):
        generating.append(_processor_seconds(lambda: executor.generate(prompt, len(output), end_ids=())))
        ahead.append(_processor_seconds(lambda: guessing.generate(prompt, len(output), end_ids=())))
        checking.append(_processor_seconds(lambda: executor.replay(prompt, output)))
    return {
        "generate_cpu_s": round(min(generating), 3),
        "generate_guessing_cpu_s": round(min(ahead), 3),
        "check_cpu_s": round(min(checking), 3),
        "check_to_generate": round(min(checking) / max(min(generating), 1e-9), 3),
        "check_to_generate_guessing": round(min(checking) / max(min(ahead), 1e-9), 3),
    }


def _processor_seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _token_seconds(generate: Callable[[Callable[[int], None]], Any]) -> float:
    """Median seconds between two tokens, so that neither the prompt nor a busy moment counts."""
    moments: list[float] = []
    generate(lambda _: moments.append(time.perf_counter()))
    return statistics.median(b - a for a, b in pairwise(moments))


def _commit_seconds(model: IntegerModel) -> float:
    from prover.curve.srs import SRS
    from prover.model_commitment import commit_model

    started = time.perf_counter()
    commit_model(model, SRS.devnet(18), cache_dir=None)
    return time.perf_counter() - started


class FloatDecoder:
    """Greedy decoding by the float reference with a key/value cache, whatever the family."""

    def __init__(self, model: FloatModel) -> None:
        self._model = model
        self._head = torch.from_numpy(model.head)

    def generate(self, prompt: list[int], count: int, on_token: Callable[[int], None]) -> list[int]:
        """Greedy continuation by `count` tokens; each is told as soon as it is known."""
        cache, fed = KeyValueCache(), prompt
        produced: list[int] = []
        with torch.inference_mode():
            for _ in range(count):
                last = final_rows(self._model, fed, cache=cache)[-1]
                produced.append(int((self._head @ last).argmax()))
                on_token(produced[-1])
                fed = produced[-1:]
        return produced
