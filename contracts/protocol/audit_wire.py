"""Audits as JSON: what an auditor names, and what a provider answers with. Read strictly, whoever wrote it.

    item       {"step": 3, "window": 0}, {"input": 0}, {"tile": 2, "window": 1} or {"position": 40, "rival": 7}
    evidence   {"proofs": ["0x…"], "boundaries": {"3": {"sums": [["0x" and 128 digits, …], …], "path": ["0x…"]}}}

Points are x and y, 32 bytes each; the sums are those of every stream, in the model's order. The place behind the last boundary's has one
stream: the logits of the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from prover.errors import BadInputError, ProofRejectedError

from .audit_evidence import (
    MOST_ITEMS,
    Evidence,
    HeadItem,
    InputItem,
    Item,
    ShownBoundary,
    StepItem,
    TileItem,
)
from .streams import MOST_STREAMS, Point

MOST_BYTES = 8 * 2**20
"""Of an answer as text."""
_LARGEST_PROOF = 64 * 2**10
_MOST_WINDOWS = 512  # 16,384 positions
_LONGEST_PATH = 32

_Number = Annotated[StrictInt, Field(ge=0, lt=2**32)]
_Word = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{64}$")]
_Point = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{128}$")]
_Decimal = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,6})$")]
_Proof = Annotated[str, Field(pattern=r"^0x([0-9a-fA-F]{2})*$", max_length=2 + 2 * _LARGEST_PROOF)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StepItemBody(_Strict):
    """A step in a window."""

    step: _Number
    window: _Number

    def read(self) -> StepItem:
        return StepItem(self.step, self.window)


class HeadItemBody(_Strict):
    """A committed token against a rival."""

    position: _Number
    rival: _Number

    def read(self) -> HeadItem:
        return HeadItem(self.position, self.rival)


class TileItemBody(_Strict):
    """A window's tokens against a tile of the vocabulary."""

    tile: _Number
    window: _Number

    def read(self) -> TileItem:
        return TileItem(self.tile, self.window)


class InputItemBody(_Strict):
    """A window of the input."""

    input: _Number

    def read(self) -> InputItem:
        return InputItem(self.input)


class _Boundary(_Strict):
    sums: Annotated[
        list[Annotated[list[_Point], Field(max_length=_MOST_WINDOWS)]], Field(max_length=MOST_STREAMS)
    ]
    path: Annotated[list[_Word], Field(max_length=_LONGEST_PATH)]


class _Evidence(_Strict):
    proofs: Annotated[list[_Proof], Field(max_length=MOST_ITEMS)]
    boundaries: Annotated[dict[_Decimal, _Boundary], Field(max_length=2 * MOST_ITEMS)]


def items_to_json(items: Sequence[Item]) -> list[dict[str, int]]:
    """The items as JSON values."""
    return [_item_to_json(item) for item in items]


def _item_to_json(item: Item) -> dict[str, int]:
    match item:
        case StepItem(step, window):
            return {"step": step, "window": window}
        case InputItem(window):
            return {"input": window}
        case TileItem(tile, window):
            return {"tile": tile, "window": window}
        case HeadItem(position, rival):
            return {"position": position, "rival": rival}


def items_from_json(body: Any) -> tuple[Item, ...]:
    """The items of a text that somebody else wrote. Raises BadInputError."""
    if not isinstance(body, list):
        raise BadInputError(
            "items must be a list of steps with windows, of windows of the input, of tiles with windows, or of positions with rivals"
        )
    return tuple(_item(place, entry) for place, entry in enumerate(body[: MOST_ITEMS + 1]))


def _item(place: int, entry: Any) -> Item:
    kinds: dict[str, type[HeadItemBody | InputItemBody | TileItemBody]] = {
        "position": HeadItemBody,
        "input": InputItemBody,
        "tile": TileItemBody,
    }
    named = next((name for name in kinds if isinstance(entry, dict) and name in entry), None)
    try:
        return (StepItemBody if named is None else kinds[named]).model_validate(entry).read()
    except ValidationError as error:
        raise BadInputError(
            f"items.{place} must be {{step, window}}, {{input}}, {{tile, window}} or {{position, rival}}: {_first(error)}"
        ) from error


def evidence_to_json(evidence: Evidence) -> dict[str, Any]:
    """The answer as JSON values."""
    return {
        "proofs": [_hex(proof) for proof in evidence.proofs],
        "boundaries": {
            str(number): {
                "sums": [[_hex(_bytes(point)) for point in sums] for sums in shown.sums],
                "path": [_hex(sibling) for sibling in shown.path],
            }
            for number, shown in evidence.boundaries.items()
        },
    }


def evidence_from_json(body: Any) -> Evidence:
    """The answer that a provider sent. Raises ProofRejectedError: what cannot be read proves nothing."""
    try:
        read = _Evidence.model_validate(body)
    except ValidationError as error:
        raise ProofRejectedError(f"the answer to the audit is malformed: {_first(error)}") from error
    boundaries = {
        int(number): ShownBoundary(
            tuple(tuple(_point(text) for text in sums) for sums in shown.sums),
            tuple(bytes.fromhex(text[2:]) for text in shown.path),
        )
        for number, shown in read.boundaries.items()
    }
    return Evidence(tuple(bytes.fromhex(text[2:]) for text in read.proofs), boundaries)


def _first(error: ValidationError) -> str:
    found = error.errors()[0]
    return f"{'.'.join(str(part) for part in found['loc']) or 'it'}: {found['msg'].lower()}"


def _point(text: str) -> Point:
    return int(text[2:66], 16), int(text[66:], 16)


def _bytes(point: Point) -> bytes:
    return point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
