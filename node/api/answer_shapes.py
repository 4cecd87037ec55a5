"""The shapes of answers: what OpenAI's two endpoints call a choice, a chunk, likelihoods and usage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prover.model.tokenizer import Tokenizer

from ..logprobs import Likelihood, TokenLikelihoods


@dataclass(frozen=True)
class Kind:
    """What differs between the two endpoints: names, and where the text goes."""

    prefix: str
    whole: str
    chunk: str
    chat: bool

    def choice(self, index: int, text: str, finish_reason: str, logprobs: Any) -> dict[str, Any]:
        content = {"message": {"role": "assistant", "content": text, "refusal": None}}
        if not self.chat:
            content = {"text": text}  # type: ignore[dict-item]
        return {"index": index, **content, "logprobs": logprobs, "finish_reason": finish_reason}

    def delta(
        self,
        index: int,
        text: str | None,
        *,
        first: bool = False,
        finish: str | None = None,
        logprobs: Any = None,
    ) -> dict[str, Any]:
        delta: dict[str, Any] = {"role": "assistant"} if first and self.chat else {}
        if text is not None:
            delta["content"] = text
        content: dict[str, Any] = {"delta": delta} if self.chat else {"text": text or ""}
        return {"index": index, **content, "logprobs": logprobs, "finish_reason": finish}


CHAT = Kind("chatcmpl-", "chat.completion", "chat.completion.chunk", chat=True)
TEXT = Kind("cmpl-", "text_completion", "text_completion", chat=False)


class LikelihoodShapes:
    """The likelihoods of one answer's tokens as they come; beside OpenAI's fields the ids and their exact logits.

    One entry for every id of the receipt: also for those of a stop string, which the text does not show.
    """

    def __init__(self, tokenizer: Tokenizer, kind: Kind) -> None:
        self._tokenizer, self._kind = tokenizer, kind
        self._decoder, self._offset = tokenizer.stream(continuation=True), 0

    def of(self, tokens: Sequence[TokenLikelihoods]) -> dict[str, Any]:
        """The field `logprobs` of a choice that shows these tokens."""
        if self._kind.chat:
            return {"content": [self._entry(token) for token in tokens], "refusal": None}
        return {
            "tokens": [self._name(token.chosen) for token in tokens],
            "token_logprobs": [token.chosen.logprob for token in tokens],
            "top_logprobs": [self._by_name(token) if token.top else None for token in tokens],
            "text_offset": [self._next_offset(token.chosen) for token in tokens],
            "token_ids": [token.chosen.token for token in tokens],
            "logits": [token.chosen.logit for token in tokens],
        }

    def _entry(self, token: TokenLikelihoods) -> dict[str, Any]:
        return self._one(token.chosen) | {"top_logprobs": [self._one(other) for other in token.top]}

    def _one(self, likelihood: Likelihood) -> dict[str, Any]:
        content = self._bytes(likelihood)
        return {
            "token": content.decode("utf-8", "replace"),
            "logprob": likelihood.logprob,
            "bytes": list(content),
            "token_id": likelihood.token,
            "logit": likelihood.logit,
        }

    def _by_name(self, token: TokenLikelihoods) -> dict[str, float]:
        """Of tokens that are written alike, the most likely."""
        named: dict[str, float] = {}
        for likelihood in (*token.top, token.chosen):
            named.setdefault(self._name(likelihood), likelihood.logprob)
        return named

    def _name(self, likelihood: Likelihood) -> str:
        """A token's text; bytes that are no text as OpenAI writes them."""
        content = self._bytes(likelihood)
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in content)

    def _bytes(self, likelihood: Likelihood) -> bytes:
        return self._tokenizer.token_bytes(likelihood.token, skip_special=False)

    def _next_offset(self, likelihood: Likelihood) -> int:
        """Characters of the answer in front of this token."""
        before = self._offset
        self._offset += len(self._decoder.push(likelihood.token))
        return before
