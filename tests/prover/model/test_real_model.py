"""SmolLM2-135M-Instruct and Gemma 3 270M themselves; skipped unless `gainsay model fetch` has put them into the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prover.model.calibrate import REQUIRED_HEADROOM, bounded_by_construction, observe, worst_headroom
from prover.model.execute import Executor
from prover.model.fetch import DEFAULT_CACHE, GEMMA3_270M, fetched
from prover.model.fidelity import measure_fidelity
from prover.model.float_model import FloatModel
from prover.model.gguf_file import GgufFile
from prover.model.gguf_import import import_gguf
from prover.model.gguf_tokenizer import gguf_tokenizer
from prover.model.texts import CALIBRATION_CHAPTERS, python_prose
from prover.model.tokenizer import Tokenizer
from prover.model.weights import IntegerModel

SMOLLM2, GEMMA3 = fetched(DEFAULT_CACHE), fetched(DEFAULT_CACHE, source=GEMMA3_270M)

needs_smollm2 = pytest.mark.skipif(
    SMOLLM2 is None,
    reason=f"no SmolLM2 GGUF in {DEFAULT_CACHE}; run `gainsay model fetch` to include these tests",
)
needs_gemma3 = pytest.mark.skipif(
    GEMMA3 is None,
    reason=f"no Gemma 3 in {DEFAULT_CACHE}; run `gainsay model fetch --model gemma3-270m` to include these tests",
)


@pytest.fixture(scope="module")
def smollm2() -> FloatModel:
    assert SMOLLM2 is not None
    return import_gguf(SMOLLM2)


@pytest.fixture(scope="module")
def smollm2_executor(smollm2: FloatModel) -> Executor:
    return Executor(replace(IntegerModel.from_float(smollm2), name="smollm2-135m"))


@needs_smollm2
def test_smollm2_tokenizes_as_the_original_does(smollm2_executor: Executor) -> None:
    tokenizer = smollm2_executor.model.tokenizer
    ids = tokenizer.encode_chat([{"role": "user", "content": "Hi"}])
    # ids of HuggingFaceTB/SmolLM2-135M-Instruct's own tokenizer
    assert ids[:22] == [
        *(1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511),
        *(308, 34519, 28, 7018, 411, 407, 19712, 8182, 2, 198, 1),
    ]
    assert tokenizer.end_ids == (0, 2)
    text = "naïve 🤖 12345\n\n  def f(x): return x"
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    ("path", "digest"),
    [
        pytest.param(
            SMOLLM2, "525309902749aa10eaa5307aab33092f808ffa90c40c1b6a9757d0bbd0ef34f0", marks=needs_smollm2
        ),
        pytest.param(
            GEMMA3, "7209d556e286f6b06df336bc617a568c329ce8e6db0107758193341db8e900e5", marks=needs_gemma3
        ),
    ],
)
def test_the_tokenizer_is_the_one_that_was_registered(path: Path, digest: str) -> None:
    with GgufFile(path) as file:
        assert Tokenizer(gguf_tokenizer(file)).digest.hex() == digest


@needs_smollm2
def test_smollm2_answers_and_its_answer_replays(smollm2_executor: Executor) -> None:
    tokenizer = smollm2_executor.model.tokenizer
    prompt = tokenizer.encode_chat([{"role": "user", "content": "What is the capital of France?"}])
    generation = smollm2_executor.generate(prompt, 16)
    assert tokenizer.decode(generation.ids) == "The capital of France is Paris."
    assert generation.finish_reason == "stop"
    assert smollm2_executor.replay(prompt, generation.ids) is None


@needs_smollm2
def test_smollm2_is_as_good_as_its_floats(smollm2: FloatModel, smollm2_executor: Executor) -> None:
    report = measure_fidelity(smollm2, smollm2_executor.model, tokens=512)
    assert abs(report.perplexity_change) < 1e-3
    assert report.argmax_agreement >= 0.99


@pytest.fixture(scope="module")
def gemma3() -> FloatModel:
    assert GEMMA3 is not None
    return import_gguf(GEMMA3)


@pytest.fixture(scope="module")
def gemma3_executor(gemma3: FloatModel) -> Executor:
    return Executor(replace(IntegerModel.from_float(gemma3), name="gemma3-270m"))


@needs_gemma3
@pytest.mark.long
def test_gemma3_tokenizes_as_sentencepiece_does(gemma3: FloatModel) -> None:
    """Ids of the SentencePiece library over the same pieces and scores."""
    tokenizer: Tokenizer = gemma3.tokenizer
    assert tokenizer.encode("Hello, wörld!  Two spaces,\n\n\ta tab, 1234 数字 🤖 <table>") == [
        *(2, 9259, 236764, 515, 4010, 671, 236888, 138, 11634, 9952, 236764, 108, 255968, 236746, 6937),
        *(236764, 236743, 236770, 236778, 236800, 236812, 196653, 236743, 246143, 236743, 168),
    ]
    text = "naïve 🤖 12345\n\n\tdef f(x):  return x ▁"
    assert tokenizer.decode(tokenizer.encode(text)).replace("▁", " ") == text.replace("▁", " ")


@needs_gemma3
@pytest.mark.long
def test_gemma3_completes_a_sentence_and_the_completion_replays(gemma3_executor: Executor) -> None:
    tokenizer = gemma3_executor.model.tokenizer
    prompt = tokenizer.encode("The capital of France is Paris. The capital of Italy is")
    generation = gemma3_executor.generate(prompt, 4)
    assert tokenizer.decode(generation.ids).startswith(" Rome")
    assert gemma3_executor.replay(prompt, generation.ids) is None


@needs_gemma3
@pytest.mark.long
def test_gemma3_is_as_good_as_its_floats_beyond_one_local_window(
    gemma3: FloatModel, gemma3_executor: Executor
) -> None:
    report = measure_fidelity(gemma3, gemma3_executor.model, tokens=576)
    assert report.tokens > 512
    assert abs(report.perplexity_change) < 1e-3
    assert report.argmax_agreement >= 0.99


@needs_gemma3
@pytest.mark.long
def test_gemma3_leaves_head_room(gemma3_executor: Executor) -> None:
    ids = gemma3_executor.model.tokenizer.encode(python_prose(CALIBRATION_CHAPTERS).text)[:128]
    bounded = bounded_by_construction(gemma3_executor.model.config)
    for entry in worst_headroom(observe(gemma3_executor.model, [ids])).values():
        assert entry.tensor in bounded or entry.headroom >= REQUIRED_HEADROOM, entry
