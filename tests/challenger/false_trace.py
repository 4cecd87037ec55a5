"""What a false provider can do with a true trace: post other boundaries, and prove what a sound proof system lets it prove.

That is any window whose written commitments are the true ones, and anything at all where the step reads a false one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eth_abi.abi import encode
from eth_hash.auto import keccak

from contracts.bindings.dispute_game import flat_points
from contracts.bindings.moves import window_rows
from contracts.protocol.actions import Action, ProveEmbedding, ProveHead, ProveStep, RefuteClaim
from contracts.protocol.claims import claim_of, leaf
from contracts.protocol.game import GameState, ModelRules, Target
from contracts.protocol.model import CommittedModel, verifier_name
from contracts.protocol.response import ResponseFields
from contracts.protocol.streams import Point, Use, boundary_hash, running_sums, stream_root
from contracts.protocol.trace import OwnTrace
from prover.sampling import ZERO

WINDOWS = 3  # of answers of 65 to 96 positions
STEPS = 6  # of the tiny model: keys and values, attention, MLP, twice
RESIDUAL, KEYS, VALUES = range(3)

Cell = tuple[int, int]
"""A stream and a window of it."""


@dataclass(frozen=True)
class Lie:
    """By boundary, which cells are other ones than they should be, and whether the answer's last token is, too.

    leaver: a token and where in the prompt it stands, if it takes the answer out of its range; then there is no true cell
    where it does, and no true boundary behind.
    """

    changed: Mapping[int, frozenset[Cell]]
    wrong: bool = False
    leaver: tuple[int, int] | None = None

    def at(self, boundary: int) -> frozenset[Cell]:
        return self.changed.get(boundary, frozenset())

    @property
    def places(self) -> set[tuple[Target, int]]:
        """Where a dispute is won: about the input, about a step that starts at the truth and does not end there, or about the token."""
        if self.at(0):
            return {(Target.EMBEDDING, 0)}
        if self.wrong and not self.at(STEPS):
            return {(Target.HEAD, STEPS)}
        return {(Target.STEP, s) for s in range(STEPS) if self.at(s + 1) and not self.at(s)}


def lie(
    changed: Mapping[int, Sequence[Cell]], *, wrong: bool = False, leaver: tuple[int, int] | None = None
) -> Lie:
    return Lie({boundary: frozenset(cells) for boundary, cells in changed.items()}, wrong, leaver)


def drawn(seed: int, number: int) -> list[Lie]:
    """Lies in one to four boundaries, of which one or two cells are changed."""
    rng = random.Random(seed)

    def cells() -> frozenset[Cell]:
        return frozenset((rng.randrange(3), rng.randrange(WINDOWS)) for _ in range(rng.randint(1, 2)))

    return [
        Lie({s: cells() for s in rng.sample(range(STEPS + 1), rng.randint(1, 4))}, rng.random() < 0.5)
        for _ in range(number)
    ]


class FalseTrace:
    """What the liar posts and shows, and what it can prove."""

    def __init__(self, truth: OwnTrace, model: CommittedModel, rules: ModelRules, told: Lie) -> None:
        self.prompt_ids, self.output_ids = list(truth.prompt_ids), list(truth.output_ids)
        self.model, self.told, self._truth, self._rules = model, told, truth, rules
        end = self._truth.first_unprovable()
        self._last_known = STEPS if end is None else end[0] + 1

    @property
    def fields(self) -> ResponseFields:
        return ResponseFields.of(self.prompt_ids, self.output_ids, len(self.output_ids), 0)

    def commitments(self, s: int, stream: int) -> list[Point]:
        """The true ones; a cell that is changed has those of the next window, which are a valid point, too."""
        known = self._truth.window_commitments(min(s, self._last_known), stream)
        changed = {window for number, window in self.told.at(s) if number == stream}
        source = known or (self._truth.window_commitments(s, RESIDUAL) if changed else [])
        posted = [source[(w + (w in changed)) % WINDOWS] for w in range(len(source))]
        assert None not in posted
        return [point for point in posted if point is not None]

    def stream_points(self, s: int, stream: int) -> list[Point]:
        return running_sums(self.commitments(s, stream), self._rules.chunk_bits[stream])

    def stream_roots(self, s: int) -> tuple[bytes, ...]:
        return tuple(stream_root(self.stream_points(s, stream)) for stream in range(3))

    def boundary_hash(self, s: int) -> bytes:
        return boundary_hash(self.stream_roots(s))

    def winner(self, position: int, _rival: int) -> int:
        return [*self.prompt_ids, *self.output_ids][position + 1]

    def prove_step(self, s: int, window: int) -> bytes:
        kind, earlier = self.model.kind(s), range(window + 1)
        access = self._rules.step_access(kind)
        read = {(stream, window) for stream in access.streams_with(Use.READS_OWN)}
        read |= {(stream, w) for stream in access.streams_with(Use.READS_ALL) for w in earlier}
        written = {(stream, window) for stream in access.written}
        if written & self.told.at(s + 1) and not read & self.told.at(s):
            return bytes(32)
        before, after = ([self.stream_points(end, stream) for stream in range(3)] for end in (s, s + 1))
        name = verifier_name(self.model.kind_names[kind]).removesuffix("Verifier")
        return _seal(self.model.step_keys[s], access.statement_inputs(window, before, after), name)

    def prove_embedding(self, window: int) -> bytes:
        if (RESIDUAL, window) in self.told.at(0):
            return bytes(32)
        rows = [row.embedding for row in window_rows(self, self.model, window)]  # type: ignore[arg-type]
        return _seal(b"", [*flat_points(rows), *self.stream_points(0, RESIDUAL)[window]], "Embedding")

    def prove_head(self, position: int, rival: int) -> bytes:
        chosen, (window, row) = self.winner(position, rival), divmod(position, 32)
        if (RESIDUAL, window) not in self.told.at(STEPS):
            return bytes(32)
        heads = [self.model.row(chosen)[1], self.model.row(rival)[1]]
        points = [*heads, self.stream_points(STEPS, RESIDUAL)[window]]
        return _seal(b"", [row, 1, ZERO - (rival < chosen), *flat_points(points)], "Head")

    def attempts(self, state: GameState) -> list[tuple[GameState, Action, str]]:
        """All that it can try once it has to prove, and the error with which each is refused."""
        game, s = state.game, state.game.range_start
        if game.target is Target.HEAD:
            proof = ProveHead(game.position, game.chosen_id, game.rival_id)
            unclaimed = replace(state, claim=b"")
            return [(state, proof, "ProofRejected"), (unclaimed, RefuteClaim(0, (), (), ()), "WrongTarget")]
        of_input = game.target is Target.EMBEDDING
        kind, end = (0, 0) if of_input else (self.model.kind(s), s + 1)
        written = (RESIDUAL,) if of_input else self._rules.step_access(kind).written
        wrong = {window for stream, window in self.told.at(end) if stream in written}
        moved = "StreamMoved" if any(stream not in written for stream, _ in self.told.at(end)) else ""
        ends = (self.stream_roots(0), ()) if of_input else (self.stream_roots(s), self.stream_roots(end))
        refuting = RefuteClaim(kind, *ends, tuple(tuple(self.stream_points(end, each)) for each in written))
        posted = zip(*(self.commitments(end, each) for each in written), strict=True)
        fitting = claim_of(leaf(self.boundary_hash(end), points) for points in posted)
        proofs = [ProveEmbedding(w) if of_input else ProveStep(s, w) for w in range(WINDOWS)]
        refused = ["ProofRejected" if w in wrong else "AsClaimed" for w in range(WINDOWS)]
        return [
            *((state, proof, moved or error) for proof, error in zip(proofs, refused, strict=True)),
            (state, refuting, moved or "NotAsClaimed"),
            (replace(state, claim=fitting), refuting, moved or "WrongPreimage"),
        ]


def _seal(key: bytes, inputs: list[int], name: str) -> bytes:
    """What the verifiers of these tests take for a proof."""
    return keccak(encode(["bytes", "uint256[]", "string"], [key, inputs, name]))
