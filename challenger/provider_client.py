"""What providers say about their batches, checked against what they posted.

Nothing here is trusted: a response counts as known only when its leaf, rebuilt from the fields and token ids,
is in the tree whose root is on chain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from eth_utils.address import to_checksum_address

from contracts.protocol.merkle import MerkleTree
from contracts.protocol.response import ResponseFields, response_leaf
from prover.foreign_json import ForeignJsonError, Limits, read_json

from .errors import ProviderUnreachable

_LARGEST_ANSWER = 64 * 2**20
_LISTING = Limits(bytes=_LARGEST_ANSWER)


@dataclass(frozen=True)
class BatchOnChain:
    """A posted batch, as its event says."""

    batch_id: int
    provider: str
    model_id: bytes
    root: bytes
    salt: bytes
    count: int


@dataclass(frozen=True)
class KnownResponse:
    """A response whose fields are proven to be in the batch. `ids` is None when they are withheld."""

    index: int
    leaf: bytes
    fields: ResponseFields
    path: tuple[bytes, ...]
    ids: tuple[tuple[int, ...], tuple[int, ...]] | None
    latency_s: float | None = None


class ProviderClient:
    """Reads one provider's HTTP API."""

    def __init__(self, base_url: str, *, timeout_s: float = 20.0, client: httpx.Client | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._client = client or httpx.Client(timeout=timeout_s, follow_redirects=False)

    def responses(self, batch: BatchOnChain, chain_id: int, ledger: str) -> list[KnownResponse]:
        """The batch's responses, in order; those whose fields are not known are left out.

        Raises `ProviderUnreachable` when the provider does not answer, or lists leaves that are not the batch.
        """
        listed = self._get(f"/v1/batches/{batch.batch_id}").get("responses")
        if not isinstance(listed, list) or len(listed) != batch.count:
            raise self._wrong(f"batch {batch.batch_id} with its {batch.count} responses")
        leaves = [_bytes(entry.get("leaf")) for entry in listed]
        tree = MerkleTree(leaves)
        if tree.root != batch.root:
            raise self._wrong(f"the leaves of batch {batch.batch_id}")
        known = []
        for index, entry in enumerate(listed):
            fields, ids = self._fields(entry)
            if fields is None or leaves[index] != _leaf(batch, index, fields, chain_id, ledger):
                fields, ids = self._fields_by_receipt(entry), None
            if fields is None or leaves[index] != _leaf(batch, index, fields, chain_id, ledger):
                continue
            latency = entry.get("latency_s")
            known.append(
                KnownResponse(
                    index=index,
                    leaf=leaves[index],
                    fields=fields,
                    path=tuple(tree.path(index)),
                    ids=ids,
                    latency_s=float(latency)
                    if isinstance(latency, int | float) and math.isfinite(latency)
                    else None,
                )
            )
        return known

    def _fields(
        self, entry: Mapping[str, Any]
    ) -> tuple[ResponseFields | None, tuple[tuple[int, ...], tuple[int, ...]] | None]:
        """Fields that follow from the listed ids."""
        try:
            prompt_ids = tuple(int(token) for token in entry["prompt_ids"])
            output_ids = tuple(int(token) for token in entry["output_ids"])
            fields = ResponseFields.of(
                prompt_ids, output_ids, int(entry["max_tokens"]), int(entry["fee_wei"])
            )
        except (KeyError, TypeError, ValueError):
            return None, None
        return fields, (prompt_ids, output_ids)

    def _fields_by_receipt(self, entry: Mapping[str, Any]) -> ResponseFields | None:
        """Fields that the provider signed, when it does not show the ids."""
        identity = entry.get("receipt_id") or entry.get("leaf")
        try:
            receipt = self._get(f"/v1/receipts/{identity}")["receipt"]
            return ResponseFields(
                prompt_hash=_bytes(receipt["prompt_hash"]),
                output_hash=_bytes(receipt["output_hash"]),
                prompt_length=int(receipt["prompt_length"]),
                output_length=int(receipt["output_length"]),
                max_tokens=int(receipt["max_tokens"]),
                sampling_hash=_bytes(receipt["sampling_hash"]),
                fee_wei=int(receipt["fee_wei"]),
            )
        except (ProviderUnreachable, KeyError, TypeError, ValueError):
            return None

    def _get(self, path: str) -> dict[str, Any]:
        try:
            with self._client.stream("GET", self.base_url + path) as answer:
                answer.raise_for_status()
                received = bytearray()
                for chunk in answer.iter_bytes():
                    received += chunk
                    if len(received) > _LARGEST_ANSWER:
                        raise self._wrong(f"{path} in less than {_LARGEST_ANSWER} bytes")
            body = read_json(bytes(received), what="its answer", limits=_LISTING)
        except (httpx.HTTPError, ForeignJsonError) as error:
            raise ProviderUnreachable(
                f"{self.base_url}{path} cannot be read ({error}); trying again later"
            ) from error
        if not isinstance(body, dict):
            raise self._wrong(path)
        return body

    def _wrong(self, what: str) -> ProviderUnreachable:
        return ProviderUnreachable(f"{self.base_url} does not show {what}; trying again later")


def provider_urls(texts: list[str]) -> dict[str, str]:
    """`0xADDRESS=URL` pairs; a bare URL is for every provider without its own (key "")."""
    urls: dict[str, str] = {}
    for text in texts:
        address, separator, url = text.partition("=")
        if separator and address.startswith("0x"):
            urls[to_checksum_address(address)] = url
        else:
            urls[""] = text
    return urls


def _leaf(batch: BatchOnChain, index: int, fields: ResponseFields, chain_id: int, ledger: str) -> bytes:
    return response_leaf(chain_id, ledger, batch.provider, batch.model_id, batch.salt, index, fields)


def _bytes(text: object) -> bytes:
    try:
        return bytes.fromhex(str(text).removeprefix("0x"))
    except ValueError:
        return b""
