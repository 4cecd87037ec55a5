"""`Payments`: prepaid deposits, vouchers, redemption, refunds; and the voucher that a payer signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from ..protocol.response import ETHER_TOKEN, Receipt
from .contract import BlockId, BoundContract, Call
from .keys import Signer

_DOMAIN_NAME = "Gainsay Payments"
_DOMAIN_VERSION = "1"
#: One transaction with so many vouchers needs 6.5 million gas, 11.2 million with new channels.
MOST_VOUCHERS = 256
#: Validity of a voucher key that was not revoked.
FOR_EVER = 2**64 - 1
LARGEST_CUMULATIVE = 2**112 - 1
_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1


@dataclass(frozen=True)
class Voucher:
    """Everything that a payer owes a provider in a token, ever; only the increase is paid."""

    payer: str
    provider: str
    token: str
    cumulative: int


@dataclass(frozen=True)
class Channel:
    """One payer's money for one provider in one token, in the token's smallest unit."""

    balance: int
    redeemed: int
    epoch: int
    held_older: int
    held_recent: int
    has_credit: bool
    released: int
    credit: int
    withdrawal: int
    withdrawable_at: int
    owed: int

    @property
    def payable(self) -> int:
        """The largest cumulative amount that is worth its whole increase while no withdrawal takes place."""
        return self.redeemed + self.credit + max(0, self.balance - self.withdrawal)


@dataclass(frozen=True)
class ProviderAccount:
    """A provider's money in a token: free, set aside for refunds, and what it still owes."""

    balance: int
    pot: int
    debt: int


class Payments(BoundContract):
    def deposit(self, provider: str, token: str, amount: int) -> Call:
        value_wei = amount if int(token, 16) == 0 else 0
        return self._call("deposit", provider, token, amount, value_wei=value_wei)

    def request_withdrawal(self, provider: str, token: str, amount: int) -> Call:
        return self._call("requestWithdrawal", provider, token, amount)

    def complete_withdrawal(self, provider: str, token: str, to: str) -> Call:
        return self._call("completeWithdrawal", provider, token, to)

    def authorise_voucher_key(self, key: str) -> Call:
        return self._call("authoriseVoucherKey", key)

    def revoke_voucher_key(self, key: str) -> Call:
        return self._call("revokeVoucherKey", key)

    def redeem(self, vouchers: Sequence[tuple[Voucher, bytes]]) -> Call:
        return self._call("redeem", [v for v, _ in vouchers], [signature for _, signature in vouchers])

    def release(self, provider: str, token: str, payers: Sequence[str]) -> Call:
        return self._call("release", provider, token, list(payers))

    def withdraw(self, token: str, to: str) -> Call:
        return self._call("withdraw", token, to)

    def refund(self, receipt: Receipt, signature: bytes) -> Call:
        return self._call("refund", receipt, signature)

    def collect_debt(self, payer: str, provider: str, token: str) -> Call:
        return self._call("collectDebt", payer, provider, token)

    def receipts(self) -> str:
        return self._read("receipts")  # type: ignore[no-any-return]

    def withdrawal_delay(self) -> int:
        return self._read("withdrawalDelay")  # type: ignore[no-any-return]

    def hold_period(self) -> int:
        return self._read("holdPeriod")  # type: ignore[no-any-return]

    def channel(self, payer: str, provider: str, token: str = ETHER_TOKEN, block: BlockId = None) -> Channel:
        return self._read("channel", payer, provider, token, record=Channel, block=block)  # type: ignore[no-any-return]

    def account(self, provider: str, token: str = ETHER_TOKEN, block: BlockId = None) -> ProviderAccount:
        return self._read("account", provider, token, record=ProviderAccount, block=block)  # type: ignore[no-any-return]

    def total_owed(self, token: str = ETHER_TOKEN) -> int:
        return self._read("totalOwed", token)  # type: ignore[no-any-return]

    def refunded(self, receipt_id: bytes) -> bool:
        return self._read("refunded", receipt_id)  # type: ignore[no-any-return]

    def is_signed(self, voucher: Voucher, signature: bytes, block: BlockId = None) -> bool:
        """Whether the payer signed: its key, a key that it authorised, or its contract (ERC-1271)."""
        return self._read("isSigned", voucher, signature, block=block)  # type: ignore[no-any-return]

    def redeemable(self, vouchers: Sequence[tuple[Voucher, bytes]]) -> list[int]:
        """What `redeem` would pay for each voucher now; 0 for those that it would skip or only waive."""
        signatures = [signature for _, signature in vouchers]
        return list(self._read("redeem", [voucher for voucher, _ in vouchers], signatures))

    def voucher_key_valid_until(self, payer: str, key: str, block: BlockId = None) -> int:
        """Last second at which vouchers that `key` signed for `payer` are redeemed; 0: never."""
        return self._read("voucherKeyValidUntil", payer, key, block=block)  # type: ignore[no-any-return]

    def voucher_digest(self, voucher: Voucher) -> bytes:
        return self._read("voucherDigest", voucher)  # type: ignore[no-any-return]


def voucher_message(voucher: Voucher, chain_id: int, payments: str) -> dict[str, Any]:
    """The full EIP-712 message of a voucher."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Voucher": [
                {"name": "payer", "type": "address"},
                {"name": "provider", "type": "address"},
                {"name": "token", "type": "address"},
                {"name": "cumulative", "type": "uint256"},
            ],
        },
        "primaryType": "Voucher",
        "domain": {
            "name": _DOMAIN_NAME,
            "version": _DOMAIN_VERSION,
            "chainId": chain_id,
            "verifyingContract": payments,
        },
        "message": {
            "payer": voucher.payer,
            "provider": voucher.provider,
            "token": voucher.token,
            "cumulative": voucher.cumulative,
        },
    }


def voucher_digest(voucher: Voucher, chain_id: int, payments: str) -> bytes:
    """The EIP-712 digest, 32 bytes."""
    signable = encode_typed_data(full_message=voucher_message(voucher, chain_id, payments))
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def sign_voucher(signer: Signer, voucher: Voucher, chain_id: int, payments: str) -> bytes:
    """The payer's 65-byte signature."""
    return signer.sign_typed_data(voucher_message(voucher, chain_id, payments))


def voucher_signer(voucher: Voucher, signature: bytes, chain_id: int, payments: str) -> str | None:
    """The key that signed, or None for whatever the contract would not recover a key from.

    As strict as the contract's ECDSA: 65 bytes, v = 27 or 28, s in the lower half; a looser reader would take vouchers
    that nobody can redeem.
    """
    if len(signature) != 65 or signature[64] not in (27, 28):
        return None
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    if not 0 < r < _CURVE_ORDER or not 0 < s <= _CURVE_ORDER // 2:
        return None
    signable = encode_typed_data(full_message=voucher_message(voucher, chain_id, payments))
    try:
        return str(Account.recover_message(signable, signature=signature))
    except (BadSignature, ValidationError, ValueError):
        return None
