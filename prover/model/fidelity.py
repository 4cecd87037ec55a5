"""Evidence that "verifiable" did not mean "worse": the integer model beside its float reference on real text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .calibrate import observe, worst_headroom
from .errors import TokenError
from .execute import Executor, Rows
from .float_model import FloatModel
from .float_reference import float_logits
from .texts import FIDELITY_CHAPTERS, SourceText, python_prose
from .weights import IntegerModel, ObservedRange

_ROWS_AT_ONCE = 64

TARGET_PERPLEXITY_CHANGE = 1e-3
TARGET_AGREEMENT = 0.99


@dataclass(frozen=True)
class FidelityReport:
    """Figures of one text. Perplexities are exp of the mean negative log-likelihood of tokens 1..T-1."""

    origin: str
    sha256: str
    tokens: int
    float_perplexity: float
    integer_perplexity: float
    argmax_agreement: float
    largest_logit_difference: float
    worst_ranges: tuple[ObservedRange, ...]

    @property
    def perplexity_change(self) -> float:
        """integer / float - 1."""
        return self.integer_perplexity / self.float_perplexity - 1.0

    @property
    def meets_target(self) -> bool:
        return (
            abs(self.perplexity_change) <= TARGET_PERPLEXITY_CHANGE
            and self.argmax_agreement >= TARGET_AGREEMENT
        )

    def to_json(self) -> dict[str, Any]:
        ranges = [asdict(entry) | {"headroom": entry.headroom} for entry in self.worst_ranges]
        return asdict(self) | {
            "worst_ranges": ranges,
            "perplexity_change": self.perplexity_change,
            "meets_target": self.meets_target,
        }


def measure_fidelity(
    reference: FloatModel,
    model: IntegerModel,
    *,
    text: SourceText | None = None,
    tokens: int = 512,
    progress: Callable[[str, int, int], None] | None = None,
) -> FidelityReport:
    """Run both models over the first `tokens` tokens of `text` (default: chapters of the Python reference).

    Raises TokenError when the text is shorter than two tokens, and prover.program.OutOfRange.
    """
    source = text or python_prose(FIDELITY_CHAPTERS)
    ids = model.tokenizer.encode(source.text)[: min(tokens, model.config.max_positions)]
    if len(ids) < 2:
        raise TokenError("the text has fewer than two tokens; give a longer one")
    expected = float_logits(reference, ids, progress=progress)  # (T, vocabulary)
    found = integer_logits(model, ids, progress=progress)
    return FidelityReport(
        origin=source.origin,
        sha256=source.sha256,
        tokens=len(ids),
        float_perplexity=perplexity(expected, ids),
        integer_perplexity=perplexity(found, ids),
        argmax_agreement=float((expected.argmax(axis=1) == found.argmax(axis=1)).mean()),
        largest_logit_difference=max(
            float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True)
        ),
        worst_ranges=tuple(worst_headroom(observe(model, [ids], progress=progress)).values()),
    )


def integer_logits(
    model: IntegerModel, ids: Sequence[int], *, progress: Callable[[str, int, int], None] | None = None
) -> np.ndarray:
    """Logits of the integer model in real units, (T, vocabulary) float32."""
    executor, steps = Executor(model), len(model.config.schedule)

    def report(step: int, written: Rows) -> None:
        if progress:
            progress("integer model", step + 1, steps)

    rows = executor.feed_rows(executor.embed(ids), executor.start(), on_step=report)
    unit = 2.0**-model.logit_scale
    found = np.empty((len(ids), model.config.vocabulary), dtype=np.float32)
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        found[block] = executor.logits(rows[block], start) * unit
    return found


def perplexity(logits: np.ndarray, ids: Sequence[int]) -> float:
    """exp of the mean of -log softmax(logits[t])[ids[t+1]] over t < T-1."""
    surprises = []
    for row, following in zip(logits[:-1], ids[1:], strict=True):
        scores = row.astype(np.float64) - row.max()
        surprises.append(np.log(np.exp(scores).sum()) - scores[following])
    return math.exp(float(np.mean(surprises)))
