"""What providers say about their batches, checked against what they posted.

Nothing here is trusted: a response counts as known only when its leaf, rebuilt from the fields and token ids,
is in the tree whose root is on chain.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from eth_utils.address import is_address, to_checksum_address

from contracts.bindings.settings import SettingsError
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.response import ResponseFields, response_leaf
from prover.foreign_json import ForeignJsonError, Limits, read_json

from . import foreign_listing as foreign
from .bounded_fetch import BoundedFetcher, FetchFailed, shared_fetcher
from .errors import ProviderUnreachable

#: A text of that size can become twenty times as many bytes of objects.
LARGEST_LISTING = 32 * 2**20
_BYTES_PER_RESPONSE = 512 * 2**10
_LARGEST_RECEIPT = 64 * 2**10
_LISTING_LIMITS = Limits(bytes=LARGEST_LISTING)
#: One reading of one batch, all its requests together.
DEADLINE_S = 30.0
_RECEIPTS_PER_READING = 256
#: One listing at a time is taken apart, whatever number of providers sends large ones at once.
_taking_apart = threading.Lock()
_MOST_URLS = 64

Ids = tuple[tuple[int, ...], tuple[int, ...]]


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
    ids: Ids | None
    latency_s: float | None = None


class ProviderClient:
    """Reads one provider's HTTP API. Every method returns, or raises `ProviderUnreachable`, within `deadline_s`."""

    def __init__(
        self, base_url: str, *, deadline_s: float = DEADLINE_S, fetcher: BoundedFetcher | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._deadline_s = deadline_s
        self._fetcher = fetcher or shared_fetcher()
        self._is_stopped = False

    def responses(
        self, batch: BatchOnChain, chain_id: int, ledger: str, known: Collection[int] = ()
    ) -> list[KnownResponse]:
        """The batch's responses, in order; those whose fields are not known are left out.

        Fields of withheld ids come from receipts, at most 256 per call; those of the indices in `known` are not
        asked for again. Raises `ProviderUnreachable` when the provider does not answer, or lists leaves that are
        not the batch.
        """
        until = time.monotonic() + self._deadline_s
        at_most = min(LARGEST_LISTING, (1 + batch.count) * _BYTES_PER_RESPONSE)
        path = f"/v1/batches/{batch.batch_id}"
        body = self._get(path, until, at_most)
        asked = 0

        def ask_receipt(name: str) -> object:
            nonlocal asked
            asked += 1
            if asked > _RECEIPTS_PER_READING:
                return None
            try:
                return self._read(self._get(f"/v1/receipts/{name}", until, _LARGEST_RECEIPT), "receipt").get(
                    "receipt"
                )
            except ProviderUnreachable:
                return None

        with _taking_apart:
            listed = self._read(body, f"batch {batch.batch_id}").get("responses")
        del body
        found = responses_of(listed, batch, chain_id, ledger, ask_receipt, known)
        if found is None:
            raise self._wrong(f"batch {batch.batch_id} with its {batch.count} responses")
        return found

    def stop(self) -> None:
        """What is asked now and later fails at once."""
        self._is_stopped = True
        self._fetcher.interrupt()

    def _get(self, path: str, until: float, at_most_bytes: int) -> bytes:
        if self._is_stopped:
            raise ProviderUnreachable(f"{self.base_url} is not asked any more; the challenger stops")
        try:
            return self._fetcher.get(
                self.base_url + path, within_s=until - time.monotonic(), at_most_bytes=at_most_bytes
            )
        except FetchFailed as error:
            raise ProviderUnreachable(
                f"{self.base_url}{path} cannot be read ({error}); trying again later"
            ) from error

    def _read(self, body: bytes, what: str) -> dict[str, Any]:
        try:
            read = read_json(body, what=what, limits=_LISTING_LIMITS)
        except (ForeignJsonError, MemoryError) as error:
            reason = str(error).encode("ascii", "replace").decode()[:200]
            raise ProviderUnreachable(
                f"{self.base_url}: {what} cannot be read ({reason or 'out of memory'}); trying again later"
            ) from error
        if not isinstance(read, dict):
            raise self._wrong(what)
        return read

    def _wrong(self, what: str) -> ProviderUnreachable:
        return ProviderUnreachable(f"{self.base_url} does not show {what}; trying again later")


def responses_of(
    listed: object,
    batch: BatchOnChain,
    chain_id: int,
    ledger: str,
    ask_receipt: Callable[[str], object],
    known: Collection[int] = (),
) -> list[KnownResponse] | None:
    """The responses of a listing (any JSON value) that are proven to be in the batch; None when its leaves are not
    the batch's."""
    if not isinstance(listed, list) or len(listed) != batch.count:
        return None
    leaves: list[bytes] = []
    for entry in listed:
        if (named := foreign.listed_leaf(entry)) is None:
            return None
        leaves.append(named.leaf_bytes)
    tree = MerkleTree(leaves)
    if tree.root != batch.root:
        return None
    found = []
    for index, (entry, leaf) in enumerate(zip(listed, leaves, strict=True)):
        ids: Ids | None = None
        fields = None
        if (shown := foreign.shown_response(entry)) is not None:
            ids = tuple(shown.prompt_ids), tuple(shown.output_ids)
            greedy = ResponseFields.of(*ids, shown.max_tokens, shown.fee_wei)
            fields = replace(greedy, sampling_hash=foreign.hash_bytes(shown.sampling_hash))
        if fields is None or leaf != _leaf(batch, index, fields, chain_id, ledger):
            ids = None
            fields = None if index in known else _fields_by_receipt(entry, leaf, ask_receipt)
        if fields is None or leaf != _leaf(batch, index, fields, chain_id, ledger):
            continue
        found.append(
            KnownResponse(index, leaf, fields, tuple(tree.path(index)), ids, foreign.latency_s(entry))
        )
    return found


def _fields_by_receipt(
    entry: object, leaf: bytes, ask_receipt: Callable[[str], object]
) -> ResponseFields | None:
    """Fields that the provider signed, when it does not show the ids."""
    receipt = foreign.receipt_fields(ask_receipt(foreign.receipt_name(entry) or "0x" + leaf.hex()))
    if receipt is None:
        return None
    return ResponseFields(
        prompt_hash=foreign.hash_bytes(receipt.prompt_hash),
        output_hash=foreign.hash_bytes(receipt.output_hash),
        prompt_length=receipt.prompt_length,
        output_length=receipt.output_length,
        max_tokens=receipt.max_tokens,
        sampling_hash=foreign.hash_bytes(receipt.sampling_hash),
        fee_wei=receipt.fee_wei,
        audit_root=foreign.hash_bytes(receipt.audit_root),
    )


def _leaf(batch: BatchOnChain, index: int, fields: ResponseFields, chain_id: int, ledger: str) -> bytes:
    return response_leaf(chain_id, ledger, batch.provider, batch.model_id, batch.salt, index, fields)


class ProviderBook:
    """Who is asked about whose batches. A provider with URLs of its own is asked at all of them, every other one at
    all bare URLs (address ""): a batch is known as soon as one of them shows its leaves."""

    def __init__(self, entries: Iterable[tuple[str, str | ProviderClient]] = ()) -> None:
        self._clients: dict[str, ProviderClient] = {}
        self._by_provider: dict[str, list[ProviderClient]] = {}
        for address, where in entries:
            self.add(address, where)

    def add(self, address: str, where: str | ProviderClient) -> ProviderClient:
        """Ask here about this provider's batches, too; "" means everybody's without a URL of its own."""
        new = where if isinstance(where, ProviderClient) else ProviderClient(where)
        client = self._clients.setdefault(new.base_url, new)
        asked = self._by_provider.setdefault(address, [])
        if client not in asked:
            asked.append(client)
        return client

    def clients(self) -> list[ProviderClient]:
        return list(self._clients.values())

    def of(self, provider: str) -> list[ProviderClient]:
        return list(self._by_provider.get(provider) or self._by_provider.get("") or ())

    def responses(self, batch: BatchOnChain, chain_id: int, ledger: str) -> list[KnownResponse]:
        """From the first that shows the batch. Raises the last `ProviderUnreachable`."""
        trouble = ProviderUnreachable(f"no URL is known for {batch.provider}; name it with --provider")
        for client in self.of(batch.provider):
            try:
                return client.responses(batch, chain_id, ledger)
            except ProviderUnreachable as error:
                trouble = error
        raise trouble


def provider_book(texts: Sequence[str]) -> ProviderBook:
    """From `URL` and `0xADDRESS=URL`, as many as there are providers. Raises `SettingsError`."""
    book = ProviderBook()
    for text in texts:
        address, separator, url = text.partition("=")
        if not (separator and address.startswith("0x")):
            address, url = "", text
        if address and not is_address(address):
            raise SettingsError(f"--provider {text}: {address} is not an address; write 0xADDRESS=URL")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise SettingsError(f"--provider {text}: {url!r} is not a URL; write http://HOST:PORT")
        book.add(to_checksum_address(address) if address else "", url)
    if len(book.clients()) > _MOST_URLS:
        raise SettingsError(f"{len(book.clients())} provider URLs are more than {_MOST_URLS}; name fewer")
    return book
