"""Generated verifiers on a real Anvil, called with eth_call."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx
from eth_abi import encode
from eth_hash.auto import keccak

SELECTOR = keccak(b"verify(bytes,uint256[],bytes)")[:4]
ERRORS = {
    keccak(f"{name}()".encode())[:4]: name
    for name in ("WrongLength", "OutOfRange", "NotCanonical", "InvalidPoint", "DegenerateChallenge")
}
ACCEPTED, FALSE = "accepted", "false"
KEPT_CHAIN = "GAINSAY_TEST_CHAIN"
"""Environment: the URL of an Anvil to use instead of starting one."""
GAS_LIMIT = 1 << 24  # a transaction's limit (EIP-7825)


class Evm:
    """A JSON-RPC client that deploys code and calls `verify`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(timeout=60)
        self._account = self._request("eth_accounts")["result"][0]

    def _request(self, method: str, *parameters: Any) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        return dict(self._client.post(self._url, json=body).json())

    def send(self, transaction: dict[str, str]) -> dict[str, Any]:
        """The receipt of a mined transaction."""
        sent = self._request("eth_sendTransaction", {"from": self._account, **transaction})
        assert "result" in sent, sent
        for _ in range(600):
            receipt = self._request("eth_getTransactionReceipt", sent["result"])["result"]
            if receipt is not None:
                assert receipt["status"] == "0x1", receipt
                return dict(receipt)
            time.sleep(0.02)
        raise TimeoutError("the transaction was not mined within 12 s")

    def deploy(self, creation_code: bytes) -> Verifier:
        """A verifier at a fresh address."""
        receipt = self.send({"data": "0x" + creation_code.hex(), "gas": hex(GAS_LIMIT // 2)})
        return Verifier(self, receipt["contractAddress"])

    def call(self, transaction: dict[str, str]) -> dict[str, Any]:
        """The raw answer of eth_call."""
        return self._request("eth_call", {"from": self._account, **transaction}, "latest")

    def close(self) -> None:
        self._client.close()


@dataclass(frozen=True)
class Verifier:
    """One deployed verifier."""

    evm: Evm
    address: str

    def _transaction(self, key: bytes, inputs: list[int], proof: bytes) -> dict[str, str]:
        data = SELECTOR + encode(["bytes", "uint256[]", "bytes"], [key, inputs, proof])
        return {"to": self.address, "data": "0x" + data.hex(), "gas": hex(GAS_LIMIT)}

    def verdict(self, key: bytes, inputs: list[int], proof: bytes) -> str:
        """ACCEPTED, FALSE, or the name of the error that it reverts with ("revert" without one)."""
        answer = self.evm.call(self._transaction(key, inputs, proof))
        if "error" in answer:
            data = bytes.fromhex(str(answer["error"].get("data") or "0x")[2:])
            return ERRORS.get(data, "revert")
        return {0: FALSE, 1: ACCEPTED}[int(answer["result"], 16)]

    def gas_used(self, key: bytes, inputs: list[int], proof: bytes) -> int:
        """Of a whole transaction: base, calldata and execution."""
        return int(self.evm.send(self._transaction(key, inputs, proof))["gasUsed"], 16)
