"""Who signs: an encrypted keystore file, or an account that a development node has unlocked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from eth_utils.address import to_checksum_address

from prover.foreign_json import ForeignJsonError, read_json_file

from .errors import KeyUnavailable, RpcRefused

if TYPE_CHECKING:
    from .chain import Chain


@dataclass(frozen=True)
class SignedTransaction:
    raw: bytes
    hash: bytes


class Signer(Protocol):
    """Signs transactions before they are sent, so that their hash is known and written down first."""

    @property
    def address(self) -> str: ...

    def sign_transaction(self, transaction: dict[str, Any]) -> SignedTransaction: ...

    def sign_typed_data(self, message: dict[str, Any]) -> bytes:
        """65-byte signature of a full EIP-712 message (domain, types, primaryType, message)."""
        ...


class KeystoreSigner:
    """An eth-account keystore (encrypted JSON), decrypted in memory only."""

    def __init__(self, path: Path, password: str) -> None:
        from eth_account import Account

        try:
            keystore = read_json_file(path)
            self._account = Account.from_key(Account.decrypt(keystore, password))
        except (OSError, ForeignJsonError) as error:
            raise KeyUnavailable(f"{path} is not a readable keystore file: {error}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise KeyUnavailable(f"{path} cannot be decrypted; check the password ({error}).") from error

    @property
    def address(self) -> str:
        return str(self._account.address)

    def sign_transaction(self, transaction: dict[str, Any]) -> SignedTransaction:
        body = {key: value for key, value in transaction.items() if key != "from"}
        signed = self._account.sign_transaction(body)
        return SignedTransaction(bytes(signed.raw_transaction), bytes(signed.hash))

    def sign_typed_data(self, message: dict[str, Any]) -> bytes:
        return bytes(self._account.sign_typed_data(full_message=message).signature)


class UnlockedSigner:
    """An account of the node itself; only development nodes offer this."""

    def __init__(self, chain: Chain, address: str) -> None:
        self._chain = chain
        self._address = to_checksum_address(address)
        if self._address not in chain.unlocked_accounts():
            raise KeyUnavailable(
                f"The node does not hold the key of {self._address}; use one of its accounts or a keystore."
            )

    @property
    def address(self) -> str:
        return self._address

    def sign_transaction(self, transaction: dict[str, Any]) -> SignedTransaction:
        from eth_hash.auto import keccak

        body = {
            key: hex(value) if isinstance(value, int) else _hex(value) if isinstance(value, bytes) else value
            for key, value in transaction.items()
            if value is not None
        }
        try:
            answer = self._chain.request("eth_signTransaction", [body])
        except RpcRefused as error:
            raise KeyUnavailable(f"The node did not sign for {self._address}: {error}") from error
        raw = bytes.fromhex((answer if isinstance(answer, str) else answer["raw"]).removeprefix("0x"))
        return SignedTransaction(raw, keccak(raw))

    def sign_typed_data(self, message: dict[str, Any]) -> bytes:
        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(item) for key, item in value.items()}
            if isinstance(value, list):
                return [plain(item) for item in value]
            if isinstance(value, bytes):
                return _hex(value)
            # Numbers above 2^53 do not survive JSON in every node: send them as text.
            return str(value) if isinstance(value, int) else value

        body = {**message, "message": plain(message["message"]), "domain": plain(message["domain"])}
        return bytes.fromhex(
            str(self._chain.request("eth_signTypedData_v4", [self._address, body])).removeprefix("0x")
        )


def create_keystore(path: Path, password: str) -> str:
    """Make a new key, write it encrypted (mode 600) and return its address; never overwrites a file."""
    import os

    from eth_account import Account

    account = Account.create()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyUnavailable(f"{path} exists already; choose another file name.") from error
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(account.encrypt(password), file)
    return str(account.address)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
