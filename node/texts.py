"""Who may read a prompt and an answer: whoever holds the answer's own id, or the operator's key.

The own id (`chatcmpl-…`, 122 random bits) is given to the client alone, with the answer; it is in no listing, no leaf and no
transaction. A receipt's id and its signature are not enough: the id is listed with its batch, and both become public with a
claim on chain.
"""

from __future__ import annotations

import secrets
from typing import Any

from contracts.protocol.token_ids import unpack_token_ids
from prover.model.tokenizer import Tokenizer

from .store import Journal, ResponseRow

_LONGEST_TOKEN = 300


class Texts:
    """Prompts and answers of one node's journal, for those who may see them."""

    def __init__(self, journal: Journal, tokenizer: Tokenizer, view_key: str | None = None) -> None:
        """`view_key`: None lets nobody see what is not their own."""
        self._journal, self._tokenizer, self._view_key = journal, tokenizer, view_key

    def is_operator(self, token: str | None) -> bool:
        """Whether this is the operator's key."""
        if token is None or self._view_key is None:
            return False
        return secrets.compare_digest(token.encode(), self._view_key.encode())

    def own(self, token: str | None) -> ResponseRow | None:
        """The response whose own id this is."""
        if not token or token.startswith("0x") or len(token) > _LONGEST_TOKEN:
            return None  # what begins like that is a receipt's id or a leaf
        return self._journal.find_response(token)

    def may_read(self, row: ResponseRow, token: str | None) -> bool:
        own = self.own(token)
        return self.is_operator(token) or (own is not None and own.id == row.id)

    def at(self, batch_id: int, index: int, token: str | None) -> dict[str, Any] | None:
        """Prompt and answer of a response by its place on chain; None for whoever may not read it, there or not."""
        found = self._journal.response_at(batch_id, index)
        return self.of(found[1]) if found is not None and self.may_read(found[1], token) else None

    def of(self, row: ResponseRow) -> dict[str, Any]:
        """In words. Who asks was checked before."""
        return {"prompt": self._text(row.prompt_ids), "answer": self._text(row.output_ids)}

    def _text(self, packed: bytes) -> str:
        return self._tokenizer.decode(unpack_token_ids(packed)).strip()
