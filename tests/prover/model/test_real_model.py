"""SmolLM2-135M-Instruct itself; skipped unless `gainsay model fetch` has put it into the cache."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prover.model.execute import Executor
from prover.model.fetch import DEFAULT_CACHE, fetched
from prover.model.fidelity import measure_fidelity
from prover.model.gguf_import import FloatModel, import_gguf
from prover.model.weights import IntegerModel

GGUF = fetched(DEFAULT_CACHE)

pytestmark = pytest.mark.skipif(
    GGUF is None,
    reason=f"no SmolLM2 GGUF in {DEFAULT_CACHE}; run `gainsay model fetch` to include these tests",
)


@pytest.fixture(scope="module")
def real_floats() -> FloatModel:
    assert GGUF is not None
    return import_gguf(GGUF)


@pytest.fixture(scope="module")
def real_executor(real_floats: FloatModel) -> Executor:
    return Executor(replace(IntegerModel.from_float(real_floats), name="smollm2-135m"))


def test_the_tokenizer_gives_the_ids_of_the_original(real_executor: Executor) -> None:
    tokenizer = real_executor.model.tokenizer
    ids = tokenizer.encode_chat([{"role": "user", "content": "Hi"}])
    # ids of HuggingFaceTB/SmolLM2-135M-Instruct's own tokenizer
    assert ids[:22] == [
        *(1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511),
        *(308, 34519, 28, 7018, 411, 407, 19712, 8182, 2, 198, 1),
    ]
    assert tokenizer.end_ids == (0, 2)
    text = "naïve 🤖 12345\n\n  def f(x): return x"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_it_answers_and_its_answer_replays(real_executor: Executor) -> None:
    tokenizer = real_executor.model.tokenizer
    prompt = tokenizer.encode_chat([{"role": "user", "content": "What is the capital of France?"}])
    generation = real_executor.generate(prompt, 16)
    assert tokenizer.decode(generation.ids) == "The capital of France is Paris."
    assert generation.finish_reason == "stop"
    assert real_executor.replay(prompt, generation.ids) is None


def test_it_is_as_good_as_the_float_model(real_floats: FloatModel, real_executor: Executor) -> None:
    report = measure_fidelity(real_floats, real_executor.model, tokens=512)
    assert abs(report.perplexity_change) < 1e-3
    assert report.argmax_agreement >= 0.99
