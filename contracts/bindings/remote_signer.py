"""A key in another process: web3signer's JSON-RPC (its mode eth1). Nothing that it answers is believed.

    eth_accounts        []                       the addresses that it signs for
    eth_signTransaction [transaction]            the raw signed transaction (a text, or an object with `raw`)
    eth_signTypedData   [address, message text]  65 bytes; the EIP-712 message is a text of JSON

web3signer takes the chain's id from its own configuration, and some releases sign another digest of typed data than
EIP-712's. So a transaction is used only if it says exactly what was asked for and its sender is the account, a
signature only if the account's address is recovered from it. What is handed on is hashed here.
"""

from __future__ import annotations

import json
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_hash.auto import keccak
from eth_utils.address import is_address, to_checksum_address
from hexbytes import HexBytes

from .endpoint import Endpoint, EndpointFailed
from .errors import KeyUnavailable, SignatureWrong, SignerUnavailable
from .keys import SignedTransaction

#: A signer on the same network answers in milliseconds; whoever waits holds up all other transactions of the account.
ANSWER_S = 5.0
_NUMBERS = ("chainId", "nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")


class RemoteSigner:
    """Signs by asking; `account` may be left out where the signer has one only.

    Raises `SignerUnavailable` when it does not answer within `ANSWER_S`, `KeyUnavailable` when it has not the key, and
    `SignatureWrong` when it signed something else.
    """

    def __init__(self, url: str, account: str | None = None) -> None:
        self._endpoint = Endpoint(url)
        self._address = self._choose(account)

    @property
    def address(self) -> str:
        return self._address

    @property
    def shown_url(self) -> str:
        return self._endpoint.shown_url

    def check(self, timeout_s: float | None = None) -> None:
        """Raises unless the signer answers (within `timeout_s`, if given) and still has the key."""
        if self._address not in self._accounts(timeout_s):
            raise self._without(self._address)

    def sign_transaction(self, transaction: dict[str, Any]) -> SignedTransaction:
        body = {key: _json_of(value) for key, value in transaction.items() if value is not None}
        body.setdefault("to", None)  # a creation
        if body["to"] is None:
            del body["to"]
        answer = self._ask("eth_signTransaction", [body])
        raw = self._bytes(answer.get("raw") if isinstance(answer, dict) else answer, "eth_signTransaction")
        self._require_transaction(raw, transaction)
        return SignedTransaction(raw, keccak(raw))

    def sign_typed_data(self, message: dict[str, Any]) -> bytes:
        domain = {key: _hex(v) if isinstance(v, bytes) else v for key, v in message["domain"].items()}
        text = json.dumps({**message, "domain": domain, "message": _plain(message["message"])})
        signature = self._bytes(self._ask("eth_signTypedData", [self._address, text]), "eth_signTypedData")
        if len(signature) == 65 and signature[64] < 27:
            signature = signature[:64] + bytes([signature[64] + 27])
        try:
            signable = encode_typed_data(full_message=message)
            by = str(Account.recover_message(signable, signature=signature))
        except Exception as error:  # whatever the libraries say to bytes from elsewhere
            raise SignatureWrong(f"{self.shown_url} gave no signature of the message: {error}") from error
        if by != self._address:
            raise SignatureWrong(
                f"{self.shown_url} signed something else than the EIP-712 message, or with another key than "
                f"{self._address}'s ({by} comes out); update the signer: some releases of web3signer sign another digest"
            )
        return signature

    def _choose(self, account: str | None) -> str:
        accounts = self._accounts()
        if account is not None:
            if (wanted := str(to_checksum_address(account))) not in accounts:
                raise self._without(wanted)
            return wanted
        if len(accounts) != 1:
            has = f"has {len(accounts)} keys ({', '.join(accounts[:5])})" if accounts else "has no key"
            raise KeyUnavailable(f"the signer at {self.shown_url} {has}; name one with --account")
        return accounts[0]

    def _accounts(self, timeout_s: float | None = None) -> list[str]:
        answer = self._ask("eth_accounts", [], timeout_s)
        if not isinstance(answer, list) or not all(isinstance(a, str) and is_address(a) for a in answer):
            raise SignerUnavailable(f"{self.shown_url} gave no list of addresses; is it a signer?")
        return [str(to_checksum_address(address)) for address in answer]

    def _without(self, account: str) -> KeyUnavailable:
        return KeyUnavailable(
            f"the signer at {self.shown_url} does not have the key of {account}; give it the key, or name another "
            "with --account"
        )

    def _ask(self, method: str, parameters: list[object], timeout_s: float | None = None) -> Any:
        try:
            answer = self._endpoint.request(method, parameters, timeout_s or ANSWER_S)
        except EndpointFailed as error:
            raise SignerUnavailable(
                f"the signer at {self.shown_url} does not answer ({error}); check that it runs and signer_url is right"
            ) from error
        if (problem := answer.get("error")) is not None:
            said = problem.get("message", problem) if isinstance(problem, dict) else problem
            raise SignerUnavailable(
                f"the signer at {self.shown_url} refused {method} for {getattr(self, '_address', 'anybody')}: {said}"
            )
        return answer.get("result")

    def _bytes(self, answer: object, method: str) -> bytes:
        try:
            return bytes.fromhex(str(answer).removeprefix("0x"))
        except ValueError:
            raise SignatureWrong(
                f"{self.shown_url} answered {method} with something that is no hex"
            ) from None

    def _require_transaction(self, raw: bytes, wanted: dict[str, Any]) -> None:
        try:
            signed = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
            by = str(Account.recover_transaction(raw))
        except Exception as error:  # whatever the libraries say to bytes from elsewhere
            raise SignatureWrong(f"{self.shown_url} gave no transaction of type 2: {error}") from error
        differing = [name for name in _NUMBERS if int(signed[name]) != int(wanted[name])]
        if int(signed["type"]) != int(wanted["type"]):
            differing.append("type")
        if bytes(signed["data"]) != bytes(wanted["data"]):
            differing.append("data")
        if bytes(signed["to"]) != bytes.fromhex((wanted.get("to") or "").removeprefix("0x")):
            differing.append("to")
        if signed.get("accessList"):
            differing.append("accessList")
        if differing:
            hint = "; give it the chain's id (--chain-id)" if "chainId" in differing else ""
            raise SignatureWrong(
                f"the signer at {self.shown_url} signed another transaction than it was asked for ({', '.join(differing)} "
                f"differs){hint}; nothing was sent"
            )
        if by != self._address:
            raise SignatureWrong(
                f"the signer at {self.shown_url} signed for {by}, not for {self._address}; nothing was sent"
            )


def _json_of(value: object) -> object:
    return hex(value) if isinstance(value, int) else _hex(value) if isinstance(value, bytes) else value


def _plain(value: Any) -> Any:
    """Bytes as hex; numbers as texts, because those above 2^53 do not survive JSON everywhere."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool):
        return value
    return _hex(value) if isinstance(value, bytes) else str(value) if isinstance(value, int) else value


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
