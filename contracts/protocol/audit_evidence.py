"""What a provider answers an audit with, and how an auditor checks it off chain.

An audit names items of one response: steps of the layers in a window, windows of the input, tiles of the head in a window, or comparisons of two tokens. The
answer holds a proof per item and the boundaries that the items touch, each with the running sums of all its streams and its path in the response's audit root. Behind
the last boundary is one more place, of the chosen logits, which are shown like a boundary of one stream.
An auditor knows the public part of the model, the token ids, and the audit root, which the provider signed:

    boundary i    its sums -> stream roots -> boundary hash -> leaf i under the audit root
    step s, w     what the step does not write is the same at s and s + 1; the statement follows from the sums and from step key s
    input w       the rows of the window's tokens, and window w of boundary 0
    tile j, w     window w of the last boundary and of the chosen logits, and the key of tile j, which is step n + j; tile, rows and tokens of the
                  statement follow from the ids (`prover.audits.head_tiles`)
    head p, v     the rows of the committed token behind position p and of its rival v, and window p // 32 of the last boundary

So no point in a statement is the prover's choice at the time of the audit. What a boundary holds that no item is about is not checked:
the steps are drawn so that a provider cannot know which these are (docs/fisher.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prover.architectures.audit_steps import HEAD_TILE
from prover.audits.head_tiles import head_tile_publics, head_windows
from prover.commitment_file import PublishedModel
from prover.curve.g1 import INFINITY, is_on_curve
from prover.curve.srs import SRS
from prover.embedding import verify_embedding
from prover.errors import BadInputError, ProofRejectedError
from prover.model_commitment import ModelCommitment, decode_step_key, decode_tile_key
from prover.plan import PRIVATE
from prover.proof_system import ProofSystem
from prover.sampling import head_publics
from prover.statement import Statement, StepKey
from prover.verify import verify

from .audits import MORE_PLACES, BoundaryTree, boundary_leaf
from .merkle import verify_path
from .response import WINDOW_ROWS
from .streams import Point, StepAccess, Use, boundary_hash, stream_root
from .trace import AuditedTrace

MOST_ITEMS = 64
"""Of one audit off chain, whoever asks."""


class AuditItemError(BadInputError):
    """An audit names what the response does not have; the message says which item and what there is."""


@dataclass(frozen=True, order=True)
class StepItem:
    """Window `window` of step `step`."""

    step: int
    window: int

    def __str__(self) -> str:
        return f"step {self.step}, window {self.window}"


@dataclass(frozen=True, order=True)
class InputItem:
    """Window `window` of b_0 is the embedding of the response's tokens."""

    window: int

    def __str__(self) -> str:
        return f"input, window {self.window}"


@dataclass(frozen=True, order=True)
class HeadItem:
    """The committed token behind `position` beats `rival`."""

    position: int
    rival: int

    def __str__(self) -> str:
        return f"head at position {self.position} against token {self.rival}"


@dataclass(frozen=True, order=True)
class TileItem:
    """The committed tokens of window `window` beat the ids of tile `tile` of the vocabulary."""

    tile: int
    window: int

    def __str__(self) -> str:
        return f"head tile {self.tile}, window {self.window}"


Item = StepItem | InputItem | TileItem | HeadItem


@dataclass(frozen=True)
class ShownBoundary:
    """A boundary: the running sums of every stream, and the siblings of its leaf."""

    sums: tuple[tuple[Point, ...], ...]
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class Evidence:
    """The answer to an audit: a proof per item, in their order, and the boundaries by their numbers."""

    proofs: tuple[bytes, ...]
    boundaries: Mapping[int, ShownBoundary]


@dataclass(frozen=True)
class AuditedResponse:
    """What an auditor knows of the response: its ids, which it has checked against the signed hashes, and its audit root."""

    prompt_ids: tuple[int, ...]
    output_ids: tuple[int, ...]
    audit_root: bytes

    @property
    def positions(self) -> int:
        """T: positions that the model is run on."""
        return len(self.prompt_ids) + len(self.output_ids) - 1

    @property
    def windows(self) -> int:
        """W = ceil(T / 32)."""
        return -(-self.positions // WINDOW_ROWS)

    @property
    def head_windows(self) -> range:
        """The windows with a row that an output token follows."""
        return head_windows(len(self.prompt_ids), len(self.output_ids))

    def next_token(self, position: int) -> int:
        """The committed token behind a position."""
        return (*self.prompt_ids, *self.output_ids)[position + 1]

    def fed_ids(self, window: int) -> tuple[int, ...]:
        """The tokens of a window; the last output token is never fed."""
        first = WINDOW_ROWS * window
        return (*self.prompt_ids, *self.output_ids)[:-1][first : first + WINDOW_ROWS]


def boundary_tree(trace: AuditedTrace, steps: int) -> BoundaryTree:
    """All boundaries of a response and the logits of its tokens. Its root goes into the response's leaf.

    Raises OutOfRange for a trace that ends early, or a head that has no proof.
    """
    boundaries = [trace.stream_roots(boundary) for boundary in range(steps + 1)]
    return BoundaryTree.of(boundaries, stream_root(trace.chosen_logit_points()))


def check_items(items: Sequence[Item], response: AuditedResponse, model: ModelCommitment) -> None:
    """Raise AuditItemError unless the response has all items, each named once, and they are not too many."""
    if not 1 <= len(items) <= MOST_ITEMS:
        raise AuditItemError(f"an audit names 1 to {MOST_ITEMS} items, not {len(items)}")
    if len(set(items)) < len(items):
        twice = next(item for place, item in enumerate(items) if item in items[:place])
        raise AuditItemError(f"{twice} is named twice; name it once")
    first, steps, vocabulary = len(response.prompt_ids) - 1, model.step_count, model.vocabulary
    for item in items:
        match item:
            case StepItem(step, window):
                if not 0 <= step < steps:
                    raise AuditItemError(f"step {step} does not exist; the model has steps 0 to {steps - 1}")
                _check_window(response, window)
            case InputItem(window):
                _check_window(response, window)
            case TileItem(tile, window):
                if not 0 <= tile < model.head_tiles:
                    raise AuditItemError(
                        f"head tile {tile} does not exist; the model has tiles 0 to {model.head_tiles - 1}"
                    )
                if window not in (windows := response.head_windows):
                    raise AuditItemError(
                        f"window {window} has no output token to prove; those from {windows[0]} to {windows[-1]} have some"
                    )
            case HeadItem(position, rival):
                if not first <= position < response.positions:
                    raise AuditItemError(
                        f"position {position} predicts no output token; they are {first} to {response.positions - 1}"
                    )
                if not 0 <= rival < vocabulary or rival == response.next_token(position):
                    raise AuditItemError(
                        f"the rival {rival} must be another token than the committed one, from 0 to {vocabulary - 1}"
                    )


def _check_window(response: AuditedResponse, window: int) -> None:
    if not 0 <= window < response.windows:
        raise AuditItemError(
            f"window {window} does not exist; the response has windows 0 to {response.windows - 1}"
        )


def answer(
    trace: AuditedTrace,
    tree: BoundaryTree,
    items: Sequence[Item],
    streams: int,
    report: Callable[[int], None] = lambda done: None,
) -> Evidence:
    """Prove every item. `report` hears how many are done. Raises StatementFalseError or RivalWins for what is false."""
    proofs = []
    for done, item in enumerate(items):
        report(done)
        match item:
            case StepItem(step, window):
                proofs.append(trace.prove_step(step, window))
            case HeadItem(position, rival):
                proofs.append(trace.prove_head(position, rival))
            case InputItem(window):
                proofs.append(trace.prove_embedding(window))
            case TileItem(tile, window):
                proofs.append(trace.prove_head_tile(window, tile))

    def sums(place: int) -> tuple[tuple[Point, ...], ...]:
        if place > tree.steps:
            return (tuple(trace.chosen_logit_points()),)
        return tuple(tuple(trace.stream_points(place, number)) for number in range(streams))

    shown = {
        place: ShownBoundary(sums(place), tuple(tree.path(place))) for place in _touched(items, tree.steps)
    }
    return Evidence(tuple(proofs), shown)


@dataclass(frozen=True)
class Auditor:
    """Checks answers about the responses of one private model."""

    model: PublishedModel
    srs: SRS

    def __post_init__(self) -> None:
        if self.model.commitment.privacy != PRIVATE:
            raise BadInputError(f"{self.model.name} is a public model; re-run it instead of auditing it")

    @property
    def _commitment(self) -> ModelCommitment:
        return self.model.commitment

    def check(self, response: AuditedResponse, items: Sequence[Item], evidence: Evidence) -> None:
        """Raise AuditItemError for items that the response does not have, ProofRejectedError unless each one is proven."""
        check_items(items, response, self._commitment)
        if not 1 <= response.positions <= self._commitment.max_positions:
            raise ProofRejectedError(
                f"{response.positions} positions are not 1 to the model's {self._commitment.max_positions}"
            )
        if len(evidence.proofs) != len(items):
            raise ProofRejectedError(f"{len(items)} items were named, and {len(evidence.proofs)} proofs came")
        for boundary in _touched(items, self._commitment.step_count):
            self._check_boundary(response, boundary, evidence)
        system = ProofSystem.shared(self.model.config, self.srs, PRIVATE)
        for item, proof in zip(items, evidence.proofs, strict=True):
            try:
                if isinstance(item, InputItem):
                    self._check_input(system, response, item.window, evidence, proof)
                    continue
                kind, statement = self._statement(system, response, item, evidence)
                verify(system.verifying_key(kind), statement, proof)
            except ProofRejectedError as error:
                raise ProofRejectedError(f"{item}: {error}") from error
            except BadInputError as error:  # the statement is made of what the provider sent
                raise ProofRejectedError(f"{item}: {error}") from error

    def _check_boundary(self, response: AuditedResponse, boundary: int, evidence: Evidence) -> None:
        """The committed one: no stream of another length than none or W windows, none but the residual one at b_0, and sums that
        the contracts take, too: canonical points."""
        shown, last = evidence.boundaries.get(boundary), self._commitment.step_count
        count = len(self._commitment.chunk_bits) if boundary <= last else 1
        if shown is None:
            raise ProofRejectedError(f"boundary {boundary} is not shown")
        if len(shown.sums) != count or any(len(sums) not in (0, response.windows) for sums in shown.sums):
            raise ProofRejectedError(
                f"boundary {boundary} must have {count} streams of none or {response.windows} windows each"
            )
        if boundary == 0 and any(shown.sums[1:]):
            raise ProofRejectedError(
                "boundary 0 must have no stream with windows but the residual one: no step wrote any yet"
            )
        if not all(is_on_curve(point) for sums in shown.sums for point in sums):
            raise ProofRejectedError(f"boundary {boundary} has a sum that is no point of the curve")
        leaf = boundary_leaf(boundary, boundary_hash([stream_root(sums) for sums in shown.sums]))
        places = last + MORE_PLACES
        if not verify_path(response.audit_root, leaf, shown.path, boundary, places):
            raise ProofRejectedError(f"boundary {boundary} is not the one that the response committed to")

    def _check_input(
        self, system: ProofSystem, response: AuditedResponse, window: int, evidence: Evidence, proof: bytes
    ) -> None:
        residual = evidence.boundaries[0].sums[0]
        if not residual:
            raise ProofRejectedError("boundary 0 has no residual stream")
        rows = [self._commitment.row(token)[0] for token in response.fed_ids(window)]
        padding = [INFINITY] * (WINDOW_ROWS - len(rows))
        verify_embedding(system.embedding_key, rows + padding, residual[window], proof)

    def _statement(
        self,
        system: ProofSystem,
        response: AuditedResponse,
        item: StepItem | TileItem | HeadItem,
        evidence: Evidence,
    ) -> tuple[str, Statement]:
        if isinstance(item, HeadItem):
            return "head", self._head_statement(response, item, evidence)
        if isinstance(item, TileItem):
            return HEAD_TILE, self._tile_statement(system, response, item, evidence)
        commitment = self._commitment
        number, kind = commitment.kind(item.step), commitment.schedule[item.step].kind
        before = evidence.boundaries[item.step].sums
        after = evidence.boundaries[item.step + 1].sums
        access = StepAccess(commitment.chunk_bits, commitment.accesses[number])
        _check_moves(access, before, after)
        words = access.statement_inputs(item.window, before, after)
        coordinates = words[1:] if access.names_window else words
        points = tuple(zip(coordinates[::2], coordinates[1::2], strict=True))
        publics = {"window": item.window} if access.names_window else {}
        return kind, Statement(decode_step_key(system, commitment, item.step), publics, points)

    def _head_statement(self, response: AuditedResponse, item: HeadItem, evidence: Evidence) -> Statement:
        commitment, chosen = self._commitment, response.next_token(item.position)
        window, row = divmod(item.position, WINDOW_ROWS)
        residual = self._last_residual(evidence)
        points = commitment.row(chosen)[1], commitment.row(item.rival)[1], residual[window]
        pair = head_publics(None, commitment.logit_scale, item.position, chosen, item.rival)
        return Statement(StepKey((), ()), {"row": row, **pair}, points)

    def _tile_statement(
        self, system: ProofSystem, response: AuditedResponse, item: TileItem, evidence: Evidence
    ) -> Statement:
        (chosen,) = evidence.boundaries[self._commitment.step_count + 1].sums
        if not chosen:
            raise ProofRejectedError("the response committed to no logits of its tokens")
        publics = head_tile_publics(response.prompt_ids, response.output_ids, item.window, item.tile)
        points = self._last_residual(evidence)[item.window], chosen[item.window]
        return Statement(decode_tile_key(system, self._commitment, item.tile), publics, points)

    def _last_residual(self, evidence: Evidence) -> tuple[Point, ...]:
        residual = evidence.boundaries[self._commitment.step_count].sums[0]
        if not residual:
            raise ProofRejectedError("the last boundary has no residual stream")
        return residual


def _touched(items: Iterable[Item], steps: int) -> list[int]:
    found: set[int] = set()
    for item in items:
        match item:
            case StepItem(step, _):
                found |= {step, step + 1}
            case InputItem():
                found.add(0)
            case TileItem():
                found |= {steps, steps + 1}
            case HeadItem():
                found.add(steps)
    return sorted(found)


def _check_moves(
    access: StepAccess, before: Sequence[Sequence[Point]], after: Sequence[Sequence[Point]]
) -> None:
    """What a step does not write stays, what it resets has no windows, what it writes has all."""
    for stream, (old, new) in enumerate(zip(before, after, strict=True)):
        use = access.use(stream)
        if Use.WRITES in use:
            if not new:
                raise ProofRejectedError(
                    f"stream {stream} is written by the step and has no windows after it"
                )
        elif Use.RESETS in use:
            if new:
                raise ProofRejectedError(f"stream {stream} is reset by the step and has windows after it")
        elif tuple(old) != tuple(new):
            raise ProofRejectedError(f"stream {stream} changes at a step that does not write it")


__all__ = [
    "MOST_ITEMS",
    "AuditItemError",
    "AuditedResponse",
    "Auditor",
    "Evidence",
    "HeadItem",
    "InputItem",
    "Item",
    "ShownBoundary",
    "StepItem",
    "TileItem",
    "answer",
    "boundary_tree",
    "check_items",
]
