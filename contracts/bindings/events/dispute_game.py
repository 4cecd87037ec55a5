"""Events of DisputeGame."""

from __future__ import annotations

from dataclasses import dataclass

from ...protocol.game import Outcome, Phase, Reason
from ...protocol.response import ResponseFields
from .base import Event


@dataclass(frozen=True)
class GameOpened(Event):
    game_id: int
    batch_id: int
    index: int
    challenger: str
    provider: str
    model_id: bytes
    leaf: bytes
    fields: ResponseFields


@dataclass(frozen=True)
class TurnStarted(Event):
    game_id: int
    phase: Phase
    deadline: int


@dataclass(frozen=True)
class BoundariesPosted(Event):
    game_id: int
    round: int
    range_start: int
    range_end: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True)
class InputChallenged(Event):
    game_id: int
    boundary_hash: bytes
    claim: bytes


@dataclass(frozen=True)
class PartChallenged(Event):
    game_id: int
    part: int
    range_start: int
    range_end: int
    start_hash: bytes
    end_hash: bytes
    claim: bytes


@dataclass(frozen=True)
class HeadChallenged(Event):
    game_id: int
    position: int
    chosen_id: int
    rival_id: int
    boundary_hash: bytes


@dataclass(frozen=True)
class ProofAccepted(Event):
    game_id: int
    verifier: str
    window: int


@dataclass(frozen=True)
class ClaimRefuted(Event):
    game_id: int


@dataclass(frozen=True)
class GameResolved(Event):
    game_id: int
    outcome: Outcome
    reason: Reason
    winner: str
