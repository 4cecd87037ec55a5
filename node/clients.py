"""Whom a request belongs to (api/clients.py finds it out)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Client:
    """share: whose turn a request takes. scope: with whom beginnings of prompts are shared (prover/model/row_blocks.py)."""

    share: str
    scope: bytes | None


NOBODY = Client("", None)
