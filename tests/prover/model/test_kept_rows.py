"""What is kept while an answer is generated is what a trace of the answer has, however the rows are fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from prover.model.execute import Executor, Rows
from prover.model.library import load_model
from prover.model.trace import Trace
from prover.model.weights import IntegerModel
from prover.program import WINDOW_ROWS

from .test_tiles import CONFIGS, tiled, whole

PROMPT = list(range(1, 31))


class Keeper:
    """All rows of every stream, by the step that wrote them."""

    def __init__(self) -> None:
        self.parts: dict[tuple[int, str], list[np.ndarray]] = {}

    def __call__(self, step: int, written: Rows) -> None:
        for name, rows in written.items():
            self.parts.setdefault((step, name), []).append(rows.copy())


def compare(model: IntegerModel, keeper: Keeper, ids: Sequence[int]) -> None:
    """Every stream at every boundary, the padded rows of the last window included."""
    trace, compared = Trace(model, ids), set()
    assert trace.refusal is None
    for boundary in range(trace.steps + 1):
        for stream in model.config.streams:
            if (version := trace.version(boundary, stream.name)) is None:
                continue
            if (key := (version, stream.name)) not in compared:
                rows = np.concatenate(keeper.parts[key])
                np.testing.assert_array_equal(rows, trace.stream(boundary, stream.name))
                compared.add(key)
    assert trace.windows * WINDOW_ROWS == len(np.concatenate(keeper.parts[-1, "residual"]))


def generated(model: IntegerModel, prompt: Sequence[int], tokens: int) -> tuple[Keeper, list[int]]:
    keeper = Keeper()
    output = Executor(model).generate(prompt, tokens, end_ids=(), on_step=keeper).ids
    return keeper, [*prompt, *output[:-1]]


@pytest.mark.parametrize("family", [name for name in CONFIGS if name != "granite"])
def test_prompt_then_tokens_across_a_window(family: str) -> None:
    """30 tokens at once, then one at a time over the end of the window, then the padding."""
    model = whole(family)
    compare(model, *generated(model, PROMPT, 5))


@pytest.mark.parametrize(("family", "size"), [("llama", 800), ("gpt2", 700)])
def test_partial_sums_of_tiles(family: str, size: int) -> None:
    model = tiled(family, size)
    compare(model, *generated(model, PROMPT, 3))


@pytest.mark.parametrize("name", ["tiny-mixtral", pytest.param("tiny-qwen3-moe", marks=pytest.mark.long)])
def test_experts_that_no_row_is_routed_to(name: str) -> None:
    model = load_model(name)
    compare(model, *generated(model, PROMPT, 3))


def test_a_long_prompt_is_fed_in_pieces(model: IntegerModel) -> None:
    """Of 256 rows: what is kept at once does not grow with the text."""
    longer = replace(model, config=replace(model.config, max_positions=512))
    keeper, ids = generated(longer, [token % 250 for token in range(300)], 2)
    assert [len(part) for part in keeper.parts[-1, "residual"]] == [256, 44, 1, 19]
    compare(longer, keeper, ids)


def test_whoever_keeps_nothing_gets_the_same_answer(executor: Executor) -> None:
    keeper = Keeper()
    kept = executor.generate(PROMPT, 6, end_ids=(), on_step=keeper)
    assert kept == executor.generate(PROMPT, 6, end_ids=())
