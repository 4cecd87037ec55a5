"""The key to an answer's audit off chain: who got the answer got the key, and nobody else can spend the audit.

    key = HMAC-SHA-256(nonce of the answer, domain || receipt id), the first 16 bytes

The nonce never leaves the provider, and the answer's blindings need the model's seed besides, so the key tells nothing about them. Nothing is stored
for it: it follows from what is journalled with the answer.
"""

from __future__ import annotations

import hmac

_DOMAIN = b"gainsay.audit.key.1"
_BYTES = 16


def audit_key(nonce: bytes, receipt_id: str) -> str:
    """32 hexadecimal digits."""
    return hmac.digest(nonce, _DOMAIN + bytes.fromhex(receipt_id[2:]), "sha256")[:_BYTES].hex()


def is_audit_key(given: str, nonce: bytes, receipt_id: str) -> bool:
    """Whether somebody has the key; takes as long whatever was given."""
    own = audit_key(nonce, receipt_id).encode()
    return hmac.compare_digest(given.lower().encode("utf-8", "replace"), own)


__all__ = ["audit_key", "is_audit_key"]
