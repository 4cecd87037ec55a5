"""Steps that audits have beside those of the layers: the head against a tile of the vocabulary (operators/head_tile.py).

    head_tile x T    residual behind the last layer, chosen_logit -> nothing: holds or has no proof

They follow the layers' steps: tile j has step number n + j, where n is the length of the schedule. Kinds, streams and digests of
the layers' steps know nothing of them, so a public model is what it was; a private model's step keys begin with the layers'
and end with these. Number and tile go together: the statement names its tile as a public integer, and whoever checks it takes
that from the step's number, never from the key.

A tile has 2^b ids: the largest power of two of which the rows have at most `step_weights` entries, and at most MOST_IDS, where the
differences of 32 rows make it about as dear as an MLP step of SmolLM2. It is derived from the norm and the comparison that the
family's head pair has, so that no family says anything about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from ..operators.head_pair import BIAS_INPUT, HeadPair
from ..operators.head_tile import HeadTile
from ..program import Kind, Program, Tensor
from ..relations import Bits, Ref
from ..streams import CHOSEN_LOGIT, RESIDUAL, Stream
from ..token_forms import token_publics
from .config import HEAD, MOST_STEPS, ModelConfig, ScheduledStep, Sliced, Step, index_bits
from .steps import CHANNELS, Part, step_of

HEAD_TILE = "head_tile"
HEAD_WEIGHT = "w_head"
WINDOW = "window"
MOST_IDS = 1 << 12
CHOSEN_LOGITS = Stream(CHOSEN_LOGIT, 0)
"""One entry per position; its windows start chunks of their own."""


@dataclass(frozen=True)
class HeadTiles:
    """A vocabulary cut into tiles of `size` ids, a power of two."""

    vocabulary: int
    size: int

    @property
    def count(self) -> int:
        """T: tiles of a vocabulary."""
        return -(-self.vocabulary // self.size)

    def tile_of(self, token: int) -> int:
        """The tile that has a token."""
        return token // self.size


def head_tiles(config: ModelConfig) -> HeadTiles:
    """The largest tiles within the bounds on weights and ids."""
    size = 1
    while (
        size < config.vocabulary
        and 2 * size <= MOST_IDS
        and config.head_inputs * 2 * size <= config.step_weights
    ):
        size *= 2
    return HeadTiles(config.vocabulary, size)


@cache
def audit_steps(config: ModelConfig) -> Mapping[str, Step]:
    """The kinds of step that only audits have. Raises ValueError for a bad shape."""
    return {HEAD_TILE: head_tile_step(config)}


def audit_schedule(config: ModelConfig) -> tuple[ScheduledStep, ...]:
    """What the step numbers from `len(config.schedule)` on stand for. Raises ValueError when there are too many."""
    count = head_tiles(config).count
    if (total := config.step_count + count) > MOST_STEPS:
        raise ValueError(
            f"a model of {total} steps, those of audits included, cannot be registered, at most {MOST_STEPS} can: take fewer"
            " layers, or larger steps"
        )
    return tuple(ScheduledStep(HEAD_TILE, config.layers, tile, count, once=True) for tile in range(count))


def statement_programs(config: ModelConfig) -> Mapping[str, Program]:
    """Every layer program that statements are about: the steps', the head pair's and those of audits."""
    return {**config.programs, **{kind: step.program for kind, step in audit_steps(config).items()}}


def head_tile_step(config: ModelConfig) -> Step:
    """The committed tokens of a window beat the ids of a tile."""
    *before, pair = config.steps[HEAD].program.operators
    assert isinstance(pair, HeadPair)
    norm = Part(tuple(replace(operator, x=Ref(WINDOW), rows=("row",)) for operator in before))
    tiles = head_tiles(config)
    comparison = HeadTile(
        pair.x,
        CHOSEN_LOGIT,
        HEAD_WEIGHT,
        config.vocabulary,
        magnitude_bits(config),
        pair.bias_channel,
    )
    weight = Tensor(HEAD_WEIGHT, ("channel", "token"), Kind.WEIGHT)
    compared = Part((comparison,), (weight,), sliced={HEAD_WEIGHT: Sliced(1, tiles.size)})
    reads = {
        RESIDUAL: Tensor(WINDOW, CHANNELS, Kind.BOUNDARY),
        CHOSEN_LOGIT: Tensor(CHOSEN_LOGIT, ("row",), Kind.BOUNDARY),
    }
    step = step_of(
        HEAD_TILE,
        config,
        (norm, compared),
        {"token": Bits(index_bits(tiles.size))},
        reads,
        {},
        {"channel": config.head_inputs, "token": tiles.size},
        token_publics(config.vocabulary, tiles.count),
    )
    return replace(step, tiles=tiles.count)


def magnitude_bits(config: ModelConfig) -> int:
    """k: every difference of two logits is below 2^k (operators/head_tile.py)."""
    inputs = max(config.scales.head_normalised_bits - 1, BIAS_INPUT.bit_length() - 1)
    return index_bits(config.head_inputs) + inputs + config.head_rule.bits
