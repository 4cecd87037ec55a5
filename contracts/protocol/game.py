"""The state of a dispute, mirrored from IDisputeGame.sol, and the facts that a player needs beside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from .bisection import cuts
from .model import CommittedModel, ModelSpec
from .response import WINDOW_ROWS
from .streams import StepAccess, unpack_streams


class Phase(IntEnum):
    """Whose move it is and which."""

    NONE = 0
    AWAIT_BOUNDARIES = 1
    AWAIT_CHALLENGE = 2
    AWAIT_PROOF = 3
    RESOLVED = 4


class Target(IntEnum):
    """What the game was narrowed to."""

    NONE = 0
    STEP = 1
    EMBEDDING = 2
    HEAD = 3


class Outcome(IntEnum):
    UNDECIDED = 0
    PROVIDER_WON = 1
    CHALLENGER_WON = 2
    RESPONSE_VOIDED = 3


class Reason(IntEnum):
    NONE = 0
    PROVEN = 1
    TIMED_OUT = 2
    CONCEDED = 3
    MALFORMED = 4
    TRUNCATED = 5
    VOIDED_ELSEWHERE = 6
    OVERRUN = 7
    REFUTED = 8


class Side(IntEnum):
    PROVIDER = 0
    CHALLENGER = 1

    @property
    def other(self) -> Side:
        return Side(1 - self)


MOVER_OF_PHASE = {
    Phase.AWAIT_BOUNDARIES: Side.PROVIDER,
    Phase.AWAIT_CHALLENGE: Side.CHALLENGER,
    Phase.AWAIT_PROOF: Side.PROVIDER,
}


@dataclass(frozen=True)
class Game:
    """Mirror of `struct Game`; the fields' meaning is documented there."""

    batch_id: int
    index: int
    provider: str
    prompt_length: int
    is_short: bool
    challenger: str
    bond: int
    output_length: int
    ids_hash: bytes
    phase: Phase
    target: Target
    outcome: Outcome
    reason: Reason
    deadline: int
    turn_started_at: int
    provider_clock: int
    challenger_clock: int
    range_start: int
    range_end: int
    round: int
    boundaries_hash: bytes
    position: int
    chosen_id: int
    rival_id: int
    sampling: int

    @property
    def positions(self) -> int:
        """T: positions that the model is run on."""
        return self.prompt_length + self.output_length - 1

    @property
    def windows(self) -> int:
        """W = ceil(T / 32)."""
        return -(-self.positions // WINDOW_ROWS)

    @property
    def about(self) -> bytes:
        """What a move says it was made for: the boundaries that the game is about, or the response's ids while there are none."""
        return self.boundaries_hash if any(self.boundaries_hash) else self.ids_hash

    @property
    def mover(self) -> Side | None:
        """Who has to move; None once resolved."""
        return MOVER_OF_PHASE.get(self.phase)


@dataclass(frozen=True)
class ModelRules:
    """What a game needs to know of the model and the deployment."""

    step_count: int
    vocab_size: int
    end_tokens: tuple[int, ...]
    arity: int
    chunk_bits: tuple[int, ...]
    accesses: tuple[int, ...]
    logit_scale: int

    @classmethod
    def of(cls, model: CommittedModel, arity: int) -> ModelRules:
        """What a committed model's own games need."""
        ends = tuple(sorted(model.end_tokens))
        streams, accesses = tuple(model.chunk_bits), tuple(model.accesses)
        scale = model.logit_scale
        return cls(model.step_count, model.vocabulary, ends, arity, streams, accesses, scale)

    @classmethod
    def of_spec(cls, spec: ModelSpec, arity: int) -> ModelRules:
        """What is registered of a model that nobody has here; its end tokens are not known."""
        accesses = tuple(kind.access for kind in spec.kinds)
        streams, scale = unpack_streams(spec.streams), spec.logit_scale
        return cls(spec.step_count, spec.vocab_size, (), arity, streams, accesses, scale)

    def step_access(self, kind: int) -> StepAccess:
        """What a kind of step does to the streams."""
        return StepAccess(self.chunk_bits, self.accesses[kind])


@dataclass(frozen=True)
class GameState:
    """Everything a player looks at, read at one block.

    The chain keeps only hashes: `boundaries` is what was posted last, while the challenger is to answer it; `claim` what the
    challenger claimed of the step or of b_0, while the provider is to prove or refute it.
    """

    game_id: int
    game: Game
    rules: ModelRules
    boundaries: tuple[bytes, ...] | None = None
    claim: bytes | None = None
    response_void: bool = False

    @property
    def cuts(self) -> list[int]:
        """Step numbers of the cuts of the range that the next or last boundaries are about."""
        return cuts(self.game.range_start, self.game.range_end, self.rules.arity)

    @property
    def resolved(self) -> bool:
        return self.game.phase in (Phase.NONE, Phase.RESOLVED)
