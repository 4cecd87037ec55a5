"""How near to float32 the integers are, beside what people run instead, over the same tokens.

A text is cut into pieces that are fed alone, so that no more than a piece's logits are kept. For every arithmetic:

    perplexity    exp of the mean of -log p(id_t+1 | ids up to t) over all pieces
    agreement     share of positions at which its largest logit is float32's
    divergence    mean over positions of  sum_v p_v (log p_v - log q_v),  p float32's softmax and q its own, in nats
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import TokenError
from .fidelity import integer_logits
from .float_model import FloatModel
from .float_reference import float_logits
from .other_arithmetics import in_arithmetic
from .texts import COMPARISON_CHAPTERS, SourceText, python_prose
from .weights import IntegerModel

INTEGERS = "integers"
_PIECE = 512
_ROWS_AT_ONCE = 64

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Closeness:
    """One arithmetic beside float32."""

    arithmetic: str
    perplexity: float
    argmax_agreement: float
    divergence: float


@dataclass(frozen=True)
class ClosenessReport:
    """All of them on one text; the integers come first."""

    origin: str
    sha256: str
    tokens: int
    piece: int
    float_perplexity: float
    rows: tuple[Closeness, ...]


@dataclass
class _Sums:
    surprise: float = 0.0  # nats
    divergence: float = 0.0  # nats
    agreeing: int = 0


def measure_closeness(
    reference: FloatModel,
    model: IntegerModel,
    others: Sequence[str],
    *,
    text: SourceText | None = None,
    tokens: int = 10_000,
    progress: Report | None = None,
) -> ClosenessReport:
    """The integers and each of `others` (names of other_arithmetics.ARITHMETICS) over the first `tokens` tokens of a text (default: chapters
    of the Python reference).

    Raises UnknownArithmeticError, TokenError for a text that is too short, and prover.program.OutOfRange.
    """
    floats = {name: in_arithmetic(reference, name) for name in others}
    source = text or python_prose(COMPARISON_CHAPTERS)
    ids = model.tokenizer.encode(source.text)[:tokens]
    if len(ids) < tokens:
        raise TokenError(
            f"the text has {len(ids)} tokens of the {tokens} asked for; give a longer text or fewer --tokens"
        )
    piece = min(_PIECE, model.config.max_positions)
    pieces = [ids[start : start + piece] for start in range(0, len(ids), piece)]
    guesses = len(ids) - len(pieces)
    if guesses == 0:
        raise TokenError("the text has fewer than two tokens; give a longer one")
    exact, sums = _Sums(), {name: _Sums() for name in (INTEGERS, *floats)}
    for number, part in enumerate(pieces):
        if progress:
            progress("pieces of the text", number, len(pieces))
        expected = float_logits(reference, part)
        _add(exact, expected, expected, part)
        _add(sums[INTEGERS], expected, integer_logits(model, part), part)
        for name, changed in floats.items():
            _add(sums[name], expected, float_logits(changed, part), part)
    if progress:
        progress("pieces of the text", len(pieces), len(pieces))
    return ClosenessReport(
        origin=source.origin,
        sha256=source.sha256,
        tokens=len(ids),
        piece=piece,
        float_perplexity=math.exp(exact.surprise / guesses),
        rows=tuple(
            Closeness(
                arithmetic=name,
                perplexity=math.exp(of.surprise / guesses),
                argmax_agreement=of.agreeing / len(ids),
                divergence=of.divergence / len(ids),
            )
            for name, of in sums.items()
        ),
    )


def _add(sums: _Sums, expected: np.ndarray, found: np.ndarray, ids: Sequence[int]) -> None:
    """A piece's logits, (T, vocabulary) each. The last row predicts what is in no piece: it has no surprise."""
    following = np.asarray(ids[1:])
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        theirs, own = _log_softmax(expected[rows]), _log_softmax(found[rows])
        sums.divergence += float((np.exp(theirs) * (theirs - own)).sum())
        sums.agreeing += int((expected[rows].argmax(axis=1) == found[rows].argmax(axis=1)).sum())
        said = following[rows]
        sums.surprise -= float(own[np.arange(len(said)), said].sum())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))
