"""Events of InferenceLedger."""

from __future__ import annotations

from dataclasses import dataclass

from ...protocol.response import ResponseFields
from .base import Event


@dataclass(frozen=True)
class BatchPosted(Event):
    batch_id: int
    provider: str
    model_id: bytes
    root: bytes
    salt: bytes
    count: int
    deadline: int


@dataclass(frozen=True)
class BatchFinalised(Event):
    batch_id: int
    released_responses: int


@dataclass(frozen=True)
class ResponseDisputed(Event):
    batch_id: int
    index: int
    leaf: bytes
    open_games: int
    bond: int


@dataclass(frozen=True)
class DisputeEnded(Event):
    batch_id: int
    index: int
    response_void: bool
    open_games: int


@dataclass(frozen=True)
class ResponseAsked(Event):
    batch_id: int
    index: int
    asker: str
    show_deadline: int


@dataclass(frozen=True)
class ResponseShown(Event):
    batch_id: int
    index: int
    leaf: bytes
    fields: ResponseFields
    path: tuple[bytes, ...]
    prompt_ids: bytes
    output_ids: bytes


@dataclass(frozen=True)
class ResponseNotShown(Event):
    batch_id: int
    index: int
    asker: str


@dataclass(frozen=True)
class ChallengeWindowExtended(Event):
    batch_id: int
    index: int
    challenge_deadline: int


@dataclass(frozen=True)
class ResponseVoided(Event):
    batch_id: int
    index: int
    provider: str
    winner: str


@dataclass(frozen=True)
class OpeningCommitted(Event):
    commitment: bytes
    sender: str


@dataclass(frozen=True)
class PlaceFreed(Event):
    batch_id: int
    index: int
    empty_until: int


@dataclass(frozen=True)
class RewardsSetAside(Event):
    batch_id: int
    index: int
    join_deadline: int
    places_left: int


@dataclass(frozen=True)
class RewardPaid(Event):
    batch_id: int
    index: int
    to: str
    amount: int


@dataclass(frozen=True)
class OpeningJoined(Event):
    batch_id: int
    index: int
    challenger: str


@dataclass(frozen=True)
class RewardsClosed(Event):
    batch_id: int
    index: int
    burned: int


@dataclass(frozen=True)
class ResponseFinalised(Event):
    batch_id: int
    index: int
