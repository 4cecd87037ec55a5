"""Events of ModelRegistry."""

from __future__ import annotations

from dataclasses import dataclass

from ...protocol.model import ModelSpec
from .base import Event


@dataclass(frozen=True)
class ModelRegistered(Event):
    model_id: bytes
    registrant: str
    spec: ModelSpec
    step_verifiers: tuple[str, ...]
    embedding_verifier: str
    head_verifier: str


@dataclass(frozen=True)
class ModelDeprecated(Event):
    model_id: bytes
    registrant: str
