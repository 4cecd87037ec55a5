"""EIP-712 receipts: the message, its digest (the receipt id), signing and checking."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak

from ..protocol.response import Receipt
from .keys import Signer

DOMAIN_NAME = "Gainsay"
DOMAIN_VERSION = "1"
_RECEIPT_FIELDS = [
    ("provider", "address"),
    ("modelId", "bytes32"),
    ("batchSalt", "bytes32"),
    ("index", "uint256"),
    ("promptHash", "bytes32"),
    ("outputHash", "bytes32"),
    ("promptLength", "uint256"),
    ("outputLength", "uint256"),
    ("maxTokens", "uint256"),
    ("samplingHash", "bytes32"),
    ("feeWei", "uint256"),
    ("auditRoot", "bytes32"),
    ("payer", "address"),
    ("feeToken", "address"),
    ("issuedAt", "uint64"),
    ("postingDeadline", "uint64"),
    ("signer", "address"),
]


def receipt_message(receipt: Receipt, chain_id: int, receipts: str) -> dict[str, Any]:
    """The full EIP-712 message of a receipt."""
    values = dict(zip((name for name, _ in _RECEIPT_FIELDS), asdict(receipt).values(), strict=True))
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Receipt": [{"name": name, "type": kind} for name, kind in _RECEIPT_FIELDS],
        },
        "primaryType": "Receipt",
        "domain": {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": chain_id,
            "verifyingContract": receipts,
        },
        "message": values,
    }


def receipt_id(receipt: Receipt, chain_id: int, receipts: str) -> bytes:
    """The EIP-712 digest, 32 bytes: what is signed, and how the receipt is called."""
    signable = encode_typed_data(full_message=receipt_message(receipt, chain_id, receipts))
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def sign_receipt(signer: Signer, receipt: Receipt, chain_id: int, receipts: str) -> bytes:
    """The receipt key's 65-byte signature."""
    return signer.sign_typed_data(receipt_message(receipt, chain_id, receipts))


def receipt_signer(receipt: Receipt, signature: bytes, chain_id: int, receipts: str) -> str:
    """The address that signed; compare it with `receipt.signer`, a key that the provider registered."""
    signable = encode_typed_data(full_message=receipt_message(receipt, chain_id, receipts))
    return str(Account.recover_message(signable, signature=signature))
