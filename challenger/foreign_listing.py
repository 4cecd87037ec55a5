"""What a provider may say about a batch: every field bounded to what the contracts' types can hold.

Strict: no strings for numbers (wei excepted, whose JSON form is decimal text), no booleans or floats for integers.
Nothing that fits here can overflow a leaf's encoding or a column of the store.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from contracts.protocol.sampling import GREEDY
from contracts.protocol.token_ids import ID_LIMIT

#: The most tokens of a prompt or an output that are looked at; no model here has so many positions.
LONGEST_IDS = 1 << 20
_UINT256_LIMIT = 1 << 256
_SLOWEST_S = 1e6
_Hash = Annotated[str, StringConstraints(pattern=r"^(0x)?[0-9a-fA-F]{64}$")]
_Uint256 = Annotated[int, Field(ge=0, lt=_UINT256_LIMIT)]
_Ids = Annotated[list[Annotated[int, Field(ge=0, lt=ID_LIMIT)]], Field(max_length=LONGEST_IDS)]


def _wei(value: Any) -> Any:
    """Wei as a number or as decimal text."""
    is_decimal = isinstance(value, str) and len(value) <= 78 and value.isascii() and value.isdecimal()
    return int(value) if is_decimal else value


_Wei = Annotated[_Uint256, BeforeValidator(_wei)]


class _Foreign(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


_Shape = TypeVar("_Shape", bound=_Foreign)


class ListedLeaf(_Foreign):
    """What every entry of a listing must have."""

    leaf: _Hash

    @property
    def leaf_bytes(self) -> bytes:
        return hash_bytes(self.leaf)


class ShownResponse(_Foreign):
    """An entry that shows its token ids."""

    prompt_ids: _Ids
    output_ids: _Ids
    max_tokens: _Uint256
    fee_wei: _Wei
    sampling_hash: _Hash = "0x" + GREEDY.hex()


class ReceiptFields(_Foreign):
    """What a receipt says about a response. Absurd lengths are allowed: a leaf can hold them, and is void then."""

    prompt_hash: _Hash
    output_hash: _Hash
    prompt_length: _Uint256
    output_length: _Uint256
    max_tokens: _Uint256
    sampling_hash: _Hash
    fee_wei: _Wei
    audit_root: _Hash


class ReceiptPlace(_Foreign):
    """Where a receipt says that its response will be."""

    provider: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
    batch_salt: _Hash
    index: _Uint256


class _Named(_Foreign):
    receipt_id: _Hash


def listed_leaf(entry: object) -> ListedLeaf | None:
    """The entry's leaf; None when it is not an entry."""
    return _read(ListedLeaf, entry)


def shown_response(entry: object) -> ShownResponse | None:
    """The entry's ids; None when it does not show them rightly."""
    return _read(ShownResponse, entry)


def receipt_fields(receipt: object) -> ReceiptFields | None:
    return _read(ReceiptFields, receipt)


def receipt_place(body: object) -> ReceiptPlace | None:
    """The place of a receipt, bare or as `/v1/receipts` gives it; None when it is none."""
    return _read(ReceiptPlace, body.get("receipt", body) if isinstance(body, dict) else body)


def receipt_name(entry: object) -> str | None:
    """The receipt's id, which becomes part of a URL."""
    named = _read(_Named, entry)
    return None if named is None else named.receipt_id


def latency_s(entry: object) -> float | None:
    """The reported latency, a hint only; None when it is missing or absurd."""
    value = entry.get("latency_s") if isinstance(entry, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(value) if 0 <= value <= _SLOWEST_S else None


def hash_bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _read(shape: type[_Shape], value: object) -> _Shape | None:
    try:
        return shape.model_validate(value)
    except (ValidationError, RecursionError):
        return None
