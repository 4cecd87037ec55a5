"""A chain behind an RPC endpoint: retried requests, typed answers, and checks before trusting it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

from .abi import ErrorDecoder
from .errors import CodeMismatch, ContractError, RpcRefused, RpcUnavailable, StaleHead, WrongChain
from .log_span import LogSpan

_EMPTY_CODE_HASH = keccak(b"")
_GWEI = 10**9
#: Where a chain does not know a tag: two epochs of 32 slots are final, one is safe.
_TAG_DEPTH = {"safe": 32, "finalized": 64}


@dataclass(frozen=True)
class Block:
    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee_wei: int


@dataclass(frozen=True)
class RawLog:
    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    log_index: int


@dataclass(frozen=True)
class TransactionReceipt:
    transaction_hash: bytes
    block_number: int
    block_hash: bytes
    succeeded: bool
    gas_used: int
    effective_gas_price_wei: int
    contract_address: str | None
    logs: tuple[RawLog, ...]


@dataclass(frozen=True)
class MinedTransaction:
    hash: bytes
    block_number: int


class Chain:
    """Typed JSON-RPC. Transport failures are retried with growing pauses and at other endpoints, but never for longer
    than `timeout_s` in all; then they raise `RpcUnavailable`. Answers that are errors raise `RpcRefused`, reverts
    `ContractError`.

    `rpc_url`: one endpoint or several of the same chain. `confirmation_tag` ("safe" or "finalized") lets the chain say
    what is confirmed, instead of a number of blocks.
    """

    def __init__(
        self,
        rpc_url: str | Sequence[str],
        *,
        expected_chain_id: int | None = None,
        attempts: int = 6,
        timeout_s: float = 10.0,
        confirmation_tag: str | None = None,
    ) -> None:
        from .endpoints import Endpoints  # an HTTP client: only for those who talk to a chain

        urls = [rpc_url] if isinstance(rpc_url, str) else list(rpc_url)
        self.rpc_urls = tuple(urls)
        self.rpc_url = urls[0]
        self.error_decoder: ErrorDecoder | None = None
        self._endpoints = Endpoints(urls, attempts=attempts, total_s=timeout_s)
        self._confirmation_tag = confirmation_tag
        self._log_span = LogSpan()
        if self._endpoints.several:
            self._endpoints.require_agreement()
        if expected_chain_id is not None and self.chain_id != expected_chain_id:
            raise WrongChain(expected_chain_id, self.chain_id, self.rpc_url)

    def impatient(self, timeout_s: float) -> Chain:
        """The same endpoints, one try each, for questions that are not worth waiting for. Asks nothing yet."""
        from .endpoints import Endpoints

        other = object.__new__(Chain)
        other.rpc_urls, other.rpc_url, other.error_decoder = self.rpc_urls, self.rpc_url, self.error_decoder
        other._endpoints = Endpoints(self.rpc_urls, attempts=1, total_s=timeout_s)
        other._confirmation_tag, other._log_span = self._confirmation_tag, LogSpan()
        return other

    # --- requests

    def request(self, method: str, parameters: Sequence[object]) -> Any:
        """One JSON-RPC request; its result as JSON."""
        return self._endpoints.request(method, list(parameters))

    # --- trust

    @cached_property
    def chain_id(self) -> int:
        return int(self.request("eth_chainId", []), 16)

    @cached_property
    def genesis_hash(self) -> bytes:
        """Tells apart two development chains with the same chain id."""
        return self.block(0).hash

    def require_fresh(self, limit_s: float) -> Block:
        """The newest block; raises `StaleHead` when it is older than `limit_s` by this machine's clock."""
        head = self.head()
        age = time.time() - head.timestamp
        if age > limit_s:
            raise StaleHead(age, limit_s, head.number)
        return head

    def code_hash(self, address: str) -> bytes:
        """keccak256 of the code at an address (EXTCODEHASH of a contract)."""
        return keccak(_bytes(self.request("eth_getCode", [address, "latest"])))

    def require_code_hash(self, address: str, expected: bytes, name: str) -> None:
        actual = self.code_hash(address)
        if actual == _EMPTY_CODE_HASH:
            raise CodeMismatch(
                f"There is no contract at {address} ({name}); deploy it, or correct the address."
            )
        if actual != expected:
            raise CodeMismatch(
                f"The code at {address} is not {name} as these sources compile it; "
                "use the matching release of this program, or another deployment."
            )

    # --- reading

    def block(self, number: int | str) -> Block:
        tag = hex(number) if isinstance(number, int) else number
        body = self.request("eth_getBlockByNumber", [tag, False])
        if body is None:
            raise RpcRefused("eth_getBlockByNumber", f"there is no block {number}")
        return Block(
            number=int(body["number"], 16),
            hash=_bytes(body["hash"]),
            parent_hash=_bytes(body["parentHash"]),
            timestamp=int(body["timestamp"], 16),
            base_fee_wei=int(body.get("baseFeePerGas", "0x0"), 16),
        )

    def block_hash(self, number: int) -> bytes | None:
        """Hash of a block of the canonical chain, None beyond its head."""
        body = self.request("eth_getBlockByNumber", [hex(number), False])
        return None if body is None else _bytes(body["hash"])

    def head(self) -> Block:
        return self.block("latest")

    def confirmed_head(self, confirmations: int) -> Block:
        """The newest block that has `confirmations` blocks on top of it (the first block at the start), or that the
        chain itself calls safe or final, where that was asked for."""
        if self._confirmation_tag is not None:
            try:
                return self.block(self._confirmation_tag)
            except RpcRefused:
                # A chain without the tag, or whose first such block is still to come.
                confirmations = max(confirmations, _TAG_DEPTH[self._confirmation_tag])
        head = self.head()
        return head if confirmations == 0 else self.block(max(0, head.number - confirmations))

    def is_confirmed(self, block_number: int, confirmations: int) -> bool:
        """Whether a block of the chain is at or below the confirmed head."""
        if self._confirmation_tag is None:
            return confirmations == 0 or self.head().number >= block_number + confirmations
        return self.confirmed_head(confirmations).number >= block_number

    def call(
        self,
        to: str,
        data: bytes,
        *,
        block: int | None = None,
        sender: str | None = None,
        value_wei: int = 0,
        description: str = "",
    ) -> bytes:
        """eth_call; a revert raises `ContractError`."""
        body = _transaction_body(to, data, sender, value_wei)
        return _bytes(self._revert_decoded("eth_call", [body, _tag(block)], description))

    def estimate_gas(
        self,
        to: str | None,
        data: bytes,
        *,
        sender: str,
        value_wei: int,
        block: str | None = None,
        description: str = "",
    ) -> int:
        """Gas that the transaction would use now, or in the block of this tag; a revert raises `ContractError`."""
        body = _transaction_body(to, data, sender, value_wei)
        at = [] if block is None else [block]
        return int(self._revert_decoded("eth_estimateGas", [body, *at], description), 16)

    def _revert_decoded(self, method: str, parameters: list[object], description: str) -> Any:
        try:
            return self.request(method, parameters)
        except RpcRefused as error:
            if (decoded := self.decode_revert(error, description)) is not None:
                raise decoded from error
            raise

    def decode_revert(self, error: RpcRefused, description: str = "") -> ContractError | None:
        """The contract's error behind a refused request; None when it was not a revert."""
        data = error.data.get("data") if isinstance(error.data, dict) else error.data
        if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
            return (self.error_decoder or ErrorDecoder([])).decode(_bytes(data), description)
        if "revert" in error.rpc_message.lower():
            return ContractError("Reverted", {}, error.rpc_message, description)
        return None

    def balance_wei(self, address: str) -> int:
        return int(self.request("eth_getBalance", [address, "latest"]), 16)

    def nonce(self, address: str, *, pending: bool = False) -> int:
        """Number of transactions mined (or also waiting) from an account."""
        return int(self.request("eth_getTransactionCount", [address, "pending" if pending else "latest"]), 16)

    def nonce_at(self, address: str, block_number: int) -> int:
        """Number of transactions mined from an account up to a block."""
        return int(self.request("eth_getTransactionCount", [address, hex(block_number)]), 16)

    def transaction_at_nonce(self, address: str, nonce: int) -> MinedTransaction | None:
        """The mined transaction of an account with this nonce; None when there is none yet.

        Looks for the block in which the account's nonce passed it, from the head backwards. Raises
        `RpcRefused` when the node no longer has the states of that time.
        """
        after = self.head().number
        if self.nonce_at(address, after) <= nonce:
            return None
        step, before = 1, after
        while before > 0 and self.nonce_at(address, before) > nonce:
            after, before = before, max(0, before - step)
            step *= 2
        while after - before > 1:
            middle = (before + after) // 2
            if self.nonce_at(address, middle) > nonce:
                after = middle
            else:
                before = middle
        body = self.request("eth_getBlockByNumber", [hex(after), True])
        for transaction in (body or {}).get("transactions", []):
            same_sender = transaction["from"].lower() == address.lower()
            if same_sender and int(transaction["nonce"], 16) == nonce:
                return MinedTransaction(_bytes(transaction["hash"]), after)
        return None

    def knows(self, transaction_hash: bytes) -> bool:
        """Whether the node has this transaction, mined or waiting."""
        return self.request("eth_getTransactionByHash", [_hex(transaction_hash)]) is not None

    def priority_fee_wei(self) -> int:
        try:
            return int(self.request("eth_maxPriorityFeePerGas", []), 16)
        except RpcRefused:
            return _GWEI

    def receipt(self, transaction_hash: bytes) -> TransactionReceipt | None:
        body = self.request("eth_getTransactionReceipt", [_hex(transaction_hash)])
        if body is None or body.get("blockNumber") is None:
            return None
        created = body.get("contractAddress")
        return TransactionReceipt(
            transaction_hash=transaction_hash,
            block_number=int(body["blockNumber"], 16),
            block_hash=_bytes(body["blockHash"]),
            succeeded=int(body["status"], 16) == 1,
            gas_used=int(body["gasUsed"], 16),
            effective_gas_price_wei=int(body.get("effectiveGasPrice", "0x0"), 16),
            contract_address=to_checksum_address(created) if created else None,
            logs=tuple(_raw_log(log) for log in body["logs"]),
        )

    def send_raw(self, raw: bytes) -> None:
        """Hand a signed transaction to the node; `RpcRefused` keeps the node's reason."""
        self.request("eth_sendRawTransaction", [_hex(raw)])

    def logs(
        self, addresses: Sequence[str], from_block: int, to_block: int, *, topics: Sequence[bytes] = ()
    ) -> list[RawLog]:
        """All logs of these contracts in a range of blocks, in order; `topics` as first topics.

        Asked for in pieces that the endpoint takes: it refuses what is too long for it.
        """
        query: dict[str, object] = {"address": list(addresses)}
        if topics:
            query["topics"] = [_hex(topic) for topic in topics]
        found: list[RawLog] = []
        start = max(0, from_block)
        while start <= to_block:
            span = self._log_span.next
            end = min(to_block, start + span - 1)
            try:
                answer = self.request(
                    "eth_getLogs", [{**query, "fromBlock": hex(start), "toBlock": hex(end)}]
                )
            except RpcRefused:
                if not self._log_span.refused(end - start + 1):
                    raise
                continue
            except RpcUnavailable:
                self._log_span.refused(end - start + 1)  # perhaps it was too much to answer in time
                raise
            self._log_span.taken(end - start + 1)
            found += [_raw_log(log) for log in answer]
            start = end + 1
        return sorted(found, key=lambda log: (log.block_number, log.log_index))

    def unlocked_accounts(self) -> list[str]:
        try:
            return [to_checksum_address(account) for account in self.request("eth_accounts", [])]
        except RpcRefused:
            return []


def _transaction_body(to: str | None, data: bytes, sender: str | None, value_wei: int) -> dict[str, str]:
    body = {"data": _hex(data), "value": hex(value_wei)}
    if to is not None:
        body["to"] = to
    if sender is not None:
        body["from"] = sender
    return body


def _tag(block: int | None) -> str:
    return "latest" if block is None else hex(block)


def _raw_log(body: dict[str, Any]) -> RawLog:
    return RawLog(
        address=to_checksum_address(body["address"]),
        topics=tuple(_bytes(topic) for topic in body["topics"]),
        data=_bytes(body["data"]),
        block_number=int(body["blockNumber"], 16),
        block_hash=_bytes(body["blockHash"]),
        transaction_hash=_bytes(body["transactionHash"]),
        log_index=int(body["logIndex"], 16),
    )


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
