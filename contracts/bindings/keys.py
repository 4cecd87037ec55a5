"""Who signs: an encrypted keystore file, or an account that a development node has unlocked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from eth_utils.address import is_address, to_checksum_address

from prover.foreign_json import ForeignJsonError, read_json_file

from .errors import KeyUnavailable, RpcRefused

if TYPE_CHECKING:
    from .chain import Chain


#: What a guess at a keystore's password costs: a second, and 256 MB.
SCRYPT_N = 2**18


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

        self._account = Account.from_key(decrypt_keystore(path, password))

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


def decrypt_keystore(path: Path, password: str) -> str:
    """The private key of a keystore, as hex. Raises `KeyUnavailable`."""
    from eth_account import Account

    try:
        return bytes(Account.decrypt(read_json_file(path), password)).hex()
    except (OSError, ForeignJsonError) as error:
        raise KeyUnavailable(f"{path} is not a readable keystore file: {error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise KeyUnavailable(f"{path} cannot be decrypted; check the password ({error}).") from error


def keystore_address(path: Path) -> str | None:
    """What a keystore says its address is, without its password; None when it does not. Raises `KeyUnavailable`."""
    try:
        content = read_json_file(path)
    except (OSError, ForeignJsonError) as error:
        raise KeyUnavailable(f"{path} is not a readable keystore file: {error}.") from error
    if not isinstance(content, dict) or "crypto" not in {str(key).lower() for key in content}:
        raise KeyUnavailable(f"{path} is not a keystore: it has no encrypted key in it.")
    written = content.get("address")
    named = "0x" + str(written).removeprefix("0x")
    return str(to_checksum_address(named)) if is_address(named) else None


def create_keystore(path: Path, password: str, private_key: str | None = None) -> str:
    """Write a key encrypted (mode 600, on the disk before this returns) and return its address; never overwrites a file.

    `private_key`: 32 bytes as hex; None makes a new key. Raises `KeyUnavailable`.
    """
    import os

    from eth_account import Account

    try:
        account = Account.create() if private_key is None else Account.from_key(private_key)
    except Exception:  # its text may quote the key
        raise KeyUnavailable(
            "This is no private key: 64 hex digits of a number below the curve's order."
        ) from None
    content = json.dumps(account.encrypt(password, kdf="scrypt", iterations=SCRYPT_N))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyUnavailable(f"{path} exists already; choose another file name.") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # half a keystore is worse than none
        path.unlink()
        raise KeyUnavailable(f"{path} cannot be written: {error}; nothing was kept.") from error
    return str(account.address)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
