"""`InferenceLedger`: batches, finality, openings and rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ..protocol.response import ResponseFields
from ..protocol.token_ids import pack_token_ids
from .contract import BlockId, BoundContract, Call


class ResponseStatus(IntEnum):
    UNKNOWN = 0
    PENDING = 1
    DISPUTED = 2
    FINAL = 3
    VOID = 4


@dataclass(frozen=True)
class Batch:
    provider: str
    model_id: bytes
    root: bytes
    salt: bytes
    count: int
    disputed_count: int
    posted_at: int
    deadline: int
    finalised: bool


@dataclass(frozen=True)
class ResponseState:
    """All zero for a response that never had a game and that nobody asked for."""

    open_games: int
    challenge_deadline: int
    disputed: bool
    is_void: bool
    released: bool
    shown: bool
    show_deadline: int
    empty_until: int
    asker: str

    @property
    def is_asked_for(self) -> bool:
        """Whether somebody waits for it to be shown."""
        return int(self.asker, 16) != 0


@dataclass(frozen=True)
class RewardPot:
    """What is left of a void response's lock; all zero while it is not void."""

    void_block: int
    join_deadline: int
    places_left: int


class InferenceLedger(BoundContract):
    def post_batch(self, provider: str, root: bytes, salt: bytes, model_id: bytes, count: int) -> Call:
        """By the provider's owner or operator."""
        return self._call("postBatch", provider, root, salt, model_id, count)

    def finalise_batch(self, batch_id: int) -> Call:
        return self._call("finaliseBatch", batch_id)

    def finalise_response(self, batch_id: int, index: int) -> Call:
        return self._call("finaliseResponse", batch_id, index)

    def ask(self, batch_id: int, index: int, price_wei: int) -> Call:
        return self._call("ask", batch_id, index, value_wei=price_wei)

    def show(
        self,
        batch_id: int,
        index: int,
        fields: ResponseFields,
        path: Sequence[bytes],
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
    ) -> Call:
        prompt, output = pack_token_ids(prompt_ids), pack_token_ids(output_ids)
        return self._call("show", batch_id, index, fields, list(path), prompt, output)

    def claim_not_shown(self, batch_id: int, index: int) -> Call:
        return self._call("claimNotShown", batch_id, index)

    def commit_opening(self, commitment: bytes) -> Call:
        return self._call("commitOpening", commitment)

    def join(self, batch_id: int, index: int, secret: bytes) -> Call:
        """Of a void response, with an opening that was committed before it was void."""
        return self._call("join", batch_id, index, secret)

    def close_rewards(self, batch_id: int, index: int) -> Call:
        return self._call("closeRewards", batch_id, index)

    def batch_count(self, block: BlockId = None) -> int:
        return self._read("batchCount", block=block)  # type: ignore[no-any-return]

    def batch(self, batch_id: int, block: BlockId = None) -> Batch:
        return self._read("batch", batch_id, record=Batch, block=block)  # type: ignore[no-any-return]

    def model_of(self, batch_id: int, block: BlockId = None) -> bytes:
        """A batch's model, which never changes; zero for no batch."""
        return self._read("modelOf", batch_id, block=block)  # type: ignore[no-any-return]

    def batch_of(self, provider: str, salt: bytes, block: BlockId = None) -> int:
        """The batch in which a provider used a salt, or 0: tells whether a batch was posted already."""
        return self._read("batchOf", provider, salt, block=block)  # type: ignore[no-any-return]

    def response(self, batch_id: int, index: int, block: BlockId = None) -> ResponseState:
        return self._read("response", batch_id, index, record=ResponseState, block=block)  # type: ignore[no-any-return]

    def response_status(self, batch_id: int, index: int, block: BlockId = None) -> ResponseStatus:
        return ResponseStatus(self._read("responseStatus", batch_id, index, block=block))

    def is_void(self, batch_id: int, index: int, block: BlockId = None) -> bool:
        return self._read("isVoid", batch_id, index, block=block)  # type: ignore[no-any-return]

    def opening_block(self, commitment: bytes, block: BlockId = None) -> int:
        """The block in which an opening was committed; 0: it was not, or it is used up."""
        return self._read("openingBlock", commitment, block=block)  # type: ignore[no-any-return]

    def bond_for(self, provider: str, block: BlockId = None) -> int:
        """Bond of the next game against a provider, in wei."""
        return self._read("bondFor", provider, block=block)  # type: ignore[no-any-return]

    def open_games_of(self, provider: str, block: BlockId = None) -> int:
        return self._read("openGamesOf", provider, block=block)  # type: ignore[no-any-return]

    def reward_pot(self, batch_id: int, index: int, block: BlockId = None) -> RewardPot:
        return self._read("rewardPot", batch_id, index, record=RewardPot, block=block)  # type: ignore[no-any-return]

    def response_leaf(
        self, provider: str, model_id: bytes, batch_salt: bytes, index: int, fields: ResponseFields
    ) -> bytes:
        return self._read("responseLeaf", provider, model_id, batch_salt, index, fields)  # type: ignore[no-any-return]
