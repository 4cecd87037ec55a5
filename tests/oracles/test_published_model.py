"""The float reference is Hugging Face's Llama, and the integer model is as good as that.

The tiny model needs no file. SmolLM2 does: those tests are long, and skipped unless `gainsay model fetch` and
`gainsay model import` have put it where the commands put it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prover.model.fetch import DEFAULT_CACHE, fetched
from prover.model.fidelity import integer_logits, perplexity
from prover.model.float_reference import float_logits
from prover.model.gguf_file import GgufFile
from prover.model.gguf_import import FloatModel, import_gguf
from prover.model.library import SMOLLM2, imported_models, load_model
from prover.model.texts import FIDELITY_CHAPTERS, python_prose
from prover.model.tiny import tiny_model
from prover.model.weights import IntegerModel
from tests.oracles.published_model import build, decode_blocks, load_gguf, published_logits, tensors

GGUF = fetched(DEFAULT_CACHE)
needs_smollm2 = pytest.mark.skipif(
    GGUF is None or SMOLLM2 not in imported_models(DEFAULT_CACHE),
    reason=f"no {SMOLLM2} in {DEFAULT_CACHE}; run `gainsay model fetch` and `gainsay model import`",
)
TOKENS, FIDELITY_TOKENS = 64, 512
LOGIT_TOLERANCE = 1e-3
"""Of logits up to about 45; both sides add in float32, in different orders."""
TEXTS = (
    "Ünïcode, 漢字 and 🙂 stay what they are.",
    "def f(x):\n\treturn x**2  # 12345 + 0.5\n\n\n",
    "Don't   panic; it's 10:30 p.m.\r\nTrailing spaces   ",
    "",
)


def test_the_float_reference_of_the_tiny_model_is_the_published_llama() -> None:
    model = tiny_model()
    ids = np.random.default_rng(5).integers(0, model.config.vocabulary, 100).tolist()
    ours, theirs = float_logits(model, ids), published_logits(build(model), ids)
    assert np.abs(ours - theirs).max() < LOGIT_TOLERANCE
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).all()


@dataclass(frozen=True)
class Smol:
    """SmolLM2 four times: as the file says, in integers, as Hugging Face reads it, and its tokenizer there."""

    path: Path
    floats: FloatModel
    integers: IntegerModel
    published: Any
    tokenizer: Any

    def prose(self, count: int) -> list[int]:
        ids: list[int] = self.tokenizer(python_prose(FIDELITY_CHAPTERS).text)["input_ids"][:count]
        assert len(ids) == count
        return ids


@pytest.fixture(scope="module")
def smol() -> Smol:
    assert GGUF is not None
    published, tokenizer = load_gguf(GGUF)
    return Smol(GGUF, import_gguf(GGUF), load_model(SMOLLM2), published, tokenizer)


@pytest.mark.long
@needs_smollm2
class TestSmolLM2:
    def test_every_tensor_is_the_one_that_transformers_reads(self, smol: Smol) -> None:
        theirs = {name: values.numpy() for name, values in smol.published.state_dict().items()}
        ours = tensors(smol.floats)
        assert set(ours) == set(theirs)
        for name, values in ours.items():
            assert np.array_equal(values, theirs[name]), name

    def test_blocks_decode_as_the_format_says(self, smol: Smol) -> None:
        """Both readers above take their arithmetic from one package, so here it is done by hand."""
        data = smol.path.read_bytes()
        with GgufFile(smol.path) as file:
            encodings = {info.encoding for info in file.tensors.values()} - {"F32"}
            assert encodings == {"Q4_1", "Q8_0"}
            for encoding in encodings:
                info = next(info for info in file.tensors.values() if info.encoding == encoding)
                block = {"Q4_1": 20, "Q8_0": 34}[encoding]
                count = min(2000, info.size // block)
                expected = decode_blocks(encoding, data[info.start : info.start + count * block])
                found = file.read(info.name, info.shape).reshape(-1)[: len(expected)]
                assert np.allclose(found, expected, rtol=1e-6, atol=0)
                assert len(set(expected.tolist())) > 100

    def test_the_tokenizer_is_the_one_that_transformers_reads(self, smol: Smol) -> None:
        for text in (*TEXTS, python_prose(FIDELITY_CHAPTERS).text):
            ids = smol.integers.tokenizer.encode(text)
            assert ids == smol.tokenizer(text)["input_ids"]

    def test_the_float_reference_has_the_logits_of_transformers(self, smol: Smol) -> None:
        ids = smol.prose(TOKENS)
        ours, theirs = float_logits(smol.floats, ids), published_logits(smol.published, ids)
        assert np.abs(ours - theirs).max() < LOGIT_TOLERANCE
        assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).all()

    def test_the_integer_model_is_as_good_as_transformers(self, smol: Smol) -> None:
        ids = smol.prose(FIDELITY_TOKENS)
        theirs, ours = published_logits(smol.published, ids), integer_logits(smol.integers, ids)
        agreement = float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean())
        change = perplexity(ours, ids) / perplexity(theirs, ids) - 1
        assert agreement >= 0.99
        assert abs(change) <= 1e-3
