"""What a client checks about a receipt before it counts on it: the key that signed it, its dates, what stands behind it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError
from contracts.bindings.receipts import receipt_signer
from contracts.protocol.response import Receipt
from contracts.protocol.sampling import describe_sampling, sampling_of
from prover.sampling import SamplingError

from .errors import ReceiptNotValidError

LONGEST_WAIT_S = 5
"""How far ahead a receipt may be dated to be waited for: clocks of client and provider differ by that."""
_PAUSE_S = 0.2


def check_receipt(
    contracts: ProtocolContracts,
    receipt: Receipt,
    signature: bytes,
    provider: str | None = None,
    payer: str | None = None,
) -> dict[str, Any]:
    """What the chain says about a valid receipt, as JSON values.

    `provider`: the one that the caller asked, if it knows; `payer`: whose vouchers paid. Raises ReceiptNotValidError.
    """
    if payer is not None and (receipt.payer != payer or not receipt.fee_wei):
        raise ReceiptNotValidError(
            f"the receipt says that {receipt.payer} paid {receipt.fee_wei}; if {payer} paid for this answer, its price could "
            "not be had back: pay this provider no more"
        )
    if provider is not None and receipt.provider != provider:
        raise ReceiptNotValidError(f"the receipt is of provider {receipt.provider}, not of {provider}")
    # Until its date its provider could retire the key, and the receipt would never have counted: the chain is asked behind it.
    _await_date(receipt.issued_at, lambda: max(int(time.time()), contracts.chain.head().timestamp))
    try:
        identity = contracts.receipts.checked_receipt_id(receipt, signature)
    except ContractError as error:
        raise ReceiptNotValidError(f"the receipt is worth nothing on this deployment: {error}") from error
    try:
        sampling = describe_sampling(sampling_of(receipt.sampling_hash))
    except SamplingError as error:
        raise ReceiptNotValidError(f"its answer would be void, because {error}; ask somebody else") from error
    batch_id = contracts.ledger.batch_of(receipt.provider, receipt.batch_salt)
    return {
        "receipt_id": "0x" + identity.hex(),
        "provider": receipt.provider,
        "signer": receipt.signer,
        "signed_by_key": _is_own_signature(contracts, receipt, signature),
        "issued_at": receipt.issued_at,
        "posting_deadline": receipt.posting_deadline,
        "backing_wei": str(contracts.stake.receipt_backing(receipt.provider, receipt.signer)),
        "sampling": sampling,
        "batch_id": batch_id or None,
        "payer": receipt.payer,
        "fee_wei": str(receipt.fee_wei),
        "fee_token": receipt.fee_token,
    }


def _is_own_signature(contracts: ProtocolContracts, receipt: Receipt, signature: bytes) -> bool:
    """False for a contract that accepts the signature (ERC-1271), and may say otherwise later."""
    try:
        signed = receipt_signer(receipt, signature, contracts.chain.chain_id, contracts.receipts.address)
    except Exception:  # eth-keys has an error of its own for each kind of malformed signature
        return False
    return signed == receipt.signer


def _await_date(issued_at: int, now: Callable[[], int]) -> None:
    """Return when the date is over. Raises ReceiptNotValidError for one that is too far ahead."""
    started = time.monotonic()
    while (left_s := issued_at - now()) > 0:
        if left_s > LONGEST_WAIT_S or time.monotonic() - started > 2 * LONGEST_WAIT_S:
            raise ReceiptNotValidError(
                f"the receipt is dated {left_s} s ahead of now; until then its key can be retired, and it would be void: "
                "check it again then, or ask somebody else"
            )
        time.sleep(_PAUSE_S)
