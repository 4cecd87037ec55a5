"""A receipt as `GET /v1/receipts/ID` gives it, read strictly."""

from __future__ import annotations

from typing import Annotated, Any

from eth_utils.address import to_checksum_address
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from prover.errors import BadInputError

from ..protocol.response import LEAF_FIELDS, Receipt
from .settings import Address, HexId

# Numbers beyond 2^53 come as decimal text: JSON's would lose digits.
_NUMBER = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,78}$"}]}
_Word = Annotated[int, Field(ge=0, lt=2**256), WithJsonSchema(_NUMBER)]
_Second = Annotated[int, Field(ge=0, lt=2**64), WithJsonSchema({"type": "integer", "minimum": 0})]


class _Signed(BaseModel):
    """The receipt as `GET /v1/receipts/ID` gives it; what else stands there is not signed and not read."""

    model_config = ConfigDict(extra="ignore")

    provider: Address
    model_id: HexId
    batch_salt: HexId
    index: _Word
    prompt_hash: HexId
    output_hash: HexId
    prompt_length: _Word
    output_length: _Word
    max_tokens: _Word
    sampling_hash: HexId
    fee_wei: _Word
    audit_root: HexId
    payer: Address
    fee_token: Address
    issued_at: _Second
    posting_deadline: _Second
    signer: Address


class _Body(BaseModel):
    """A signed receipt. Further fields (`domain`, `leaf`, `path`, ...) may stand beside these."""

    model_config = ConfigDict(extra="ignore")

    receipt: _Signed
    signature: Annotated[str, Field(pattern=r"^0x([0-9a-fA-F]{2}){1,4096}$")]


def parse_receipt(body: object) -> tuple[Receipt, bytes]:
    """(receipt, signature). Raises BadInputError."""
    try:
        read = _Body.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "it"
        raise BadInputError(
            f"this is no receipt ({name}: {first['msg'].lower()}); save what GET /v1/receipts/ID answers"
        ) from error
    values: dict[str, Any] = read.receipt.model_dump()
    for name in ("provider", "payer", "fee_token", "signer"):
        values[name] = to_checksum_address(values[name])
    for name in ("model_id", "batch_salt", "prompt_hash", "output_hash", "sampling_hash", "audit_root"):
        values[name] = bytes.fromhex(values[name][2:])
    return Receipt(**values), bytes.fromhex(read.signature[2:])


def receipt_schema() -> dict[str, Any]:
    """JSON Schema of a receipt's file: what `parse_receipt` takes."""
    names = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "receipt.schema.json"}
    return {**names, **_Body.model_json_schema(), "title": "Receipt"}


def leaf_schema() -> dict[str, Any]:
    """JSON Schema of what is hashed into a leaf, in the order in which it is encoded."""
    kinds: dict[str, dict[str, Any]] = {
        "uint256": _NUMBER,
        "address": {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"},
        "bytes32": {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"},
    }
    fields = [field.split(" ") for field in LEAF_FIELDS.split(",")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "leaf.schema.json",
        "title": "Leaf",
        "description": "keccak256(keccak256(abi.encode(typehash, fields in this order))); the typehash is keccak256 of "
        f"Response({LEAF_FIELDS}).",
        "type": "object",
        "properties": {name: kinds[kind] for kind, name in fields},
        "required": [name for _, name in fields],
        "additionalProperties": False,
    }
