"""`DisputeGame`: opening, every move, and the state that a player looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..protocol.bisection import GROUP, group_hashes, groups
from ..protocol.claims import CLAIM_GROUP, claim_groups
from ..protocol.claims import group_hashes as hashes_of_claim
from ..protocol.game import Game
from ..protocol.response import ResponseFields
from ..protocol.streams import Point
from ..protocol.token_ids import pack_token_ids, token_ids_hash
from .contract import BlockId, BoundContract, Call


@dataclass(frozen=True)
class TokenRow:
    """A token's leaf in the model's `embedding_rows_root`."""

    embedding: Point
    head: Point
    path: Sequence[bytes]


@dataclass(frozen=True)
class StepProof:
    """`sums` (x, y, x, y, ...) and `siblings` as `StepAccess.shown_windows` gives them."""

    kind: int
    roots_before: Sequence[bytes]
    roots_after: Sequence[bytes]
    key: bytes
    key_path: Sequence[bytes]
    sums: Sequence[int]
    siblings: Sequence[bytes]
    proof: bytes


@dataclass(frozen=True)
class ResidualWindow:
    """A window of the residual stream of a boundary: its commitment, with its path."""

    roots: Sequence[bytes]
    sum: Point
    path: Sequence[bytes]


@dataclass(frozen=True)
class EmbeddingProof:
    """`rows`: 32, those of padded positions are ignored."""

    prompt_ids: bytes
    output_ids: bytes
    window: ResidualWindow
    rows: Sequence[TokenRow]
    proof: bytes


@dataclass(frozen=True)
class HeadProof:
    """`winner_id`: the response's token, or one that excludes the rival by min_p."""

    window: ResidualWindow
    winner_id: int
    winner: TokenRow
    rival: TokenRow
    proof: bytes


@dataclass(frozen=True)
class ShownGroup:
    """What a challenge shows of the boundaries that were posted last: the hashes of all groups, and one of them."""

    groups: Sequence[bytes]
    boundaries: Sequence[bytes]

    @classmethod
    def of(cls, posted: Sequence[bytes], number: int) -> ShownGroup:
        """number: of the group, -1 for the last one. There is none where nothing was posted: the contract says so then."""
        all_groups = groups(posted) or [()]
        return cls(group_hashes(posted), list(all_groups[min(number, len(all_groups) - 1)]))


@dataclass(frozen=True)
class ShownClaim:
    """What a proof shows of the challenger's claim: the window that is proven, the hashes of all groups, and the window's group."""

    window: int
    groups: Sequence[bytes]
    leaves: bytes

    @classmethod
    def of(cls, claim: bytes, window: int) -> ShownClaim:
        return cls(window, hashes_of_claim(claim), claim_groups(claim)[window // CLAIM_GROUP])


@dataclass(frozen=True)
class AgreedStep:
    """That the challenger claims what the provider posted. `sums` (x, y, x, y, ...) of every stream that the kind writes, of all
    windows.

    Of the input: kind 0, no key, no roots after, the sums of the residual stream.
    """

    kind: int
    key_digest: bytes
    key_path: Sequence[bytes]
    roots_before: Sequence[bytes]
    roots_after: Sequence[bytes]
    sums: Sequence[Sequence[int]]
    claim: bytes


def flat_points(points: Sequence[Point]) -> list[int]:
    """x_0, y_0, x_1, y_1, ..."""
    return [coordinate for point in points for coordinate in point]


class DisputeGame(BoundContract):
    def open(
        self,
        batch_id: int,
        index: int,
        fields: ResponseFields,
        path: Sequence[bytes],
        secret: bytes,
        *,
        bond_wei: int,
    ) -> Call:
        """For an opening that was committed with `secret` in an earlier block (`InferenceLedger.commit_opening`)."""
        return self._call("open", batch_id, index, fields, list(path), secret, value_wei=bond_wei)

    def post_boundaries(self, game_id: int, about: bytes, hashes: Sequence[bytes]) -> Call:
        """about: `Game.about` as the mover saw it; a game of another history under this number refuses the move."""
        return self._call("postBoundaries", game_id, about, list(hashes))

    def refute_claim(self, game_id: int, agreed: AgreedStep) -> Call:
        return self._call("refuteClaim", game_id, agreed)

    def prove_step(self, game_id: int, proof: StepProof, claim: ShownClaim) -> Call:
        return self._call("proveStep", game_id, proof, claim)

    def prove_embedding(self, game_id: int, proof: EmbeddingProof, claim: ShownClaim) -> Call:
        return self._call("proveEmbedding", game_id, proof, claim)

    def prove_head(self, game_id: int, proof: HeadProof) -> Call:
        return self._call("proveHead", game_id, proof)

    def challenge_input(self, game_id: int, boundaries: Sequence[bytes], claim: bytes) -> Call:
        """`boundaries`, here and in the next two: what was posted last (`moves.posted_boundaries`). claim: of every window
        (`protocol.claims`)."""
        return self._call("challengeInput", game_id, ShownGroup.of(boundaries, 0), claim)

    def challenge_part(
        self, game_id: int, boundaries: Sequence[bytes], part: int, claim: bytes = b""
    ) -> Call:
        """claim: as in `challenge_input` where the part is one step, else none."""
        return self._call("challengePart", game_id, ShownGroup.of(boundaries, part // GROUP), part, claim)

    def challenge_head(
        self,
        game_id: int,
        boundaries: Sequence[bytes],
        position: int,
        rival: int,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
    ) -> Call:
        ids = token_ids_hash(prompt_ids), pack_token_ids(output_ids)
        return self._call("challengeHead", game_id, ShownGroup.of(boundaries, -1), position, rival, *ids)

    def claim_truncated(
        self, game_id: int, prompt_ids: Sequence[int], output_ids: Sequence[int], end_tokens: Sequence[int]
    ) -> Call:
        ids = token_ids_hash(prompt_ids), pack_token_ids(output_ids)
        return self._call("claimTruncated", game_id, *ids, sorted(set(end_tokens)))

    def claim_overrun(
        self,
        game_id: int,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        end_tokens: Sequence[int],
        place: int,
    ) -> Call:
        ids = token_ids_hash(prompt_ids), pack_token_ids(output_ids)
        return self._call("claimOverrun", game_id, *ids, sorted(set(end_tokens)), place)

    def timeout(self, game_id: int) -> Call:
        return self._call("timeout", game_id)

    def concede(self, game_id: int, about: bytes) -> Call:
        """about: as of `post_boundaries`."""
        return self._call("concede", game_id, about)

    def resolve_void(self, game_id: int) -> Call:
        return self._call("resolveVoid", game_id)

    def game_count(self, block: BlockId = None) -> int:
        return self._read("gameCount", block=block)  # type: ignore[no-any-return]

    def game(self, game_id: int, block: BlockId = None) -> Game:
        """Raises `ContractError` (GameUnknown) when there is no such game at that block."""
        return self._read("game", game_id, record=Game, block=block)  # type: ignore[no-any-return]
