"""What payer and provider tell each other over HTTP, in the frame of x402 (version 1).

A request carries `X-Payment`: base64 of {x402Version, scheme, network, payload}, the payload being a signed voucher. An
unpaid one gets 402 with {x402Version, accepts: [terms]} in its body, and the same, base64, in `X-Payment-Terms`.
A paid answer says in `X-Payment-Response` what was taken. Amounts are decimal text: JSON numbers lose digits.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from eth_utils.address import to_checksum_address
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contracts.bindings.payments import LARGEST_CUMULATIVE, Voucher
from contracts.bindings.settings import Address
from prover.errors import BadInputError
from prover.foreign_json import ForeignJsonError, Limits, read_json

PAYMENT_HEADER = "x-payment"
TERMS_HEADER = "x-payment-terms"
TAKEN_HEADER = "x-payment-response"
SCHEME = "gainsay-voucher"
VERSION = 1
# A signature has 65 bytes; that of a payer's contract may have some hundreds.
LARGEST_HEADER = 4096
_LIMITS = Limits(bytes=LARGEST_HEADER, depth=8)
_ANSWER_SECONDS = 60

_Amount = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,33})$")]
_Network = Annotated[str, StringConstraints(pattern=r"^eip155:[1-9][0-9]{0,18}$")]


@dataclass(frozen=True)
class Terms:
    """What one answer costs, and where its vouchers are redeemed."""

    chain_id: int
    payments: str
    provider: str
    token: str
    price: int

    @property
    def network(self) -> str:
        return f"eip155:{self.chain_id}"


@dataclass(frozen=True)
class Due:
    """What a provider says to one payer: the next voucher's cumulative amount, its credit, what its channel can pay."""

    payer: str
    cumulative: int
    credit: int
    payable: int | None  # None: the provider knows of no deposit


@dataclass(frozen=True)
class SignedVoucher:
    """A voucher as it arrives: for which chain and contract, and by whose signature."""

    chain_id: int
    payments: str
    voucher: Voucher
    signature: bytes


def terms_body(terms: Terms, due: Due | None, resource: str) -> dict[str, Any]:
    """x402's answer to an unpaid request."""
    extra: dict[str, Any] = {
        "name": "Gainsay Payments",
        "version": "1",
        "chainId": terms.chain_id,
        "payments": terms.payments,
        "payer": None,
        "cumulativeDue": None,
        "credit": None,
        "channelPayable": None,
    }
    if due is not None:
        payable = None if due.payable is None else str(due.payable)
        extra |= {"payer": due.payer, "cumulativeDue": str(due.cumulative), "credit": str(due.credit)}
        extra["channelPayable"] = payable
    return {
        "x402Version": VERSION,
        "accepts": [
            {
                "scheme": SCHEME,
                "network": terms.network,
                "maxAmountRequired": str(terms.price),
                "asset": terms.token,
                "payTo": terms.provider,
                "resource": resource,
                "description": "one answer; a cumulative voucher over a prepaid channel",
                "mimeType": "application/json",
                "maxTimeoutSeconds": _ANSWER_SECONDS,
                "extra": extra,
            }
        ],
    }


def payment_header(signed: SignedVoucher) -> str:
    """The value of `X-Payment`."""
    voucher = signed.voucher
    payload = {
        "payments": signed.payments,
        "payer": voucher.payer,
        "provider": voucher.provider,
        "token": voucher.token,
        "cumulative": str(voucher.cumulative),
        "signature": "0x" + signed.signature.hex(),
    }
    return pack({
        "x402Version": VERSION, "scheme": SCHEME, "network": f"eip155:{signed.chain_id}", "payload": payload,
    })  # fmt: skip


class _Payload(BaseModel):
    model_config = ConfigDict(extra="ignore")

    payments: Address
    payer: Address
    provider: Address
    token: Address
    cumulative: _Amount
    signature: Annotated[str, StringConstraints(pattern=r"^0x([0-9a-fA-F]{2}){1,1024}$")]


class _Payment(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    x402_version: Annotated[Literal[1], Field(alias="x402Version")]
    scheme: Literal["gainsay-voucher"]
    network: _Network
    payload: _Payload


class _Extra(BaseModel):
    model_config = ConfigDict(extra="ignore")

    payments: Address
    payer: Address | None = None
    cumulative_due: Annotated[_Amount | None, Field(alias="cumulativeDue")] = None
    credit: _Amount | None = None
    payable: Annotated[_Amount | None, Field(alias="channelPayable")] = None


class _OurTerms(BaseModel):
    model_config = ConfigDict(extra="ignore")

    scheme: Literal["gainsay-voucher"]
    network: _Network
    price: Annotated[_Amount, Field(alias="maxAmountRequired")]
    asset: Address
    pay_to: Annotated[Address, Field(alias="payTo")]
    extra: _Extra


class _Offer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    accepts: Annotated[list[Any], Field(max_length=16)]


def read_payment(header: str) -> SignedVoucher:
    """What `X-Payment` says. Raises BadInputError."""
    try:
        read = _Payment.model_validate(unpack(header, "X-Payment"))
    except ValidationError as error:
        raise BadInputError(f"X-Payment: {_first(error)}") from error
    payload = read.payload
    cumulative = int(payload.cumulative)
    if cumulative > LARGEST_CUMULATIVE:
        raise BadInputError("X-Payment: payload.cumulative is 2^112 or more, which no channel can hold")
    payer, provider, token, payments = (
        to_checksum_address(text)
        for text in (payload.payer, payload.provider, payload.token, payload.payments)
    )
    return SignedVoucher(
        int(read.network.removeprefix("eip155:")),
        payments,
        Voucher(payer, provider, token, cumulative),
        bytes.fromhex(payload.signature[2:]),
    )


def read_terms(header: str) -> tuple[Terms, Due | None]:
    """What `X-Payment-Terms` says about this scheme. Raises BadInputError."""
    try:
        entries = _Offer.model_validate(unpack(header, "X-Payment-Terms")).accepts
        ours = [entry for entry in entries if isinstance(entry, dict) and entry.get("scheme") == SCHEME]
        if not ours:
            raise BadInputError(f"the provider does not take payments of the scheme {SCHEME}")
        read = _OurTerms.model_validate(ours[0])
    except ValidationError as error:
        raise BadInputError(f"X-Payment-Terms: {_first(error)}") from error
    extra = read.extra
    terms = Terms(
        int(read.network.removeprefix("eip155:")),
        to_checksum_address(extra.payments),
        to_checksum_address(read.pay_to),
        to_checksum_address(read.asset),
        int(read.price),
    )
    if extra.payer is None or extra.cumulative_due is None:
        return terms, None
    payable = None if extra.payable is None else int(extra.payable)
    due = Due(to_checksum_address(extra.payer), int(extra.cumulative_due), int(extra.credit or 0), payable)
    return terms, due


def pack(value: dict[str, Any]) -> str:
    """Base64 of compact JSON."""
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


def unpack(header: str, name: str) -> Any:
    """The JSON in a header. Raises BadInputError."""
    if len(header) > LARGEST_HEADER:
        raise BadInputError(f"{name} is longer than {LARGEST_HEADER} characters; send one signed voucher")
    try:
        text = base64.b64decode(header, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInputError(f"{name} is no base64; encode the JSON of a signed voucher") from error
    try:
        return read_json(text, what=name, limits=_LIMITS)
    except ForeignJsonError as error:
        raise BadInputError(str(error)) from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "it"
    return f"{name}: {first['msg'].lower()}"
