"""What a request sees of its own generation: whether a stop string ends it, and how likely its tokens were.

The engine calls `chosen` with every id in its own thread, before the id is told to the request; the request reads the
likelihoods of an id only after it was told.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prover.model.stop_strings import AnswerText
from prover.model.tokenizer import Tokenizer

from .logprobs import TokenLikelihoods, likelihoods


class AnswerWatch:
    """One answer's (`prover.model.execute.Watch`)."""

    def __init__(
        self, tokenizer: Tokenizer, stops: Sequence[str], logit_scale: int, top_logprobs: int | None = None
    ) -> None:
        """top_logprobs: how many of the most likely tokens are noted beside the chosen one; None: no likelihoods at all."""
        self._text, self._scale, self._top = AnswerText(tokenizer, stops), logit_scale, top_logprobs
        self.likelihoods: list[TokenLikelihoods] = []

    @property
    def wants_logits(self) -> bool:
        return self._top is not None

    @property
    def stopped(self) -> bool:
        """Whether a stop string is complete: the answer's own length is its limit then."""
        return self._text.stopped

    def chosen(self, token: int, logits: np.ndarray | None) -> bool:
        """True: the answer ends with this id."""
        if self._top is not None:
            assert logits is not None
            self.likelihoods.append(likelihoods(logits, token, self._top, self._scale))
        self._text.push(token)
        return self.stopped
