"""From what somebody has, a number, a hash, a receipt's id, an address, to the pages that are about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.address import is_address, to_checksum_address

from contracts.bindings.receipts import receipt_id
from contracts.protocol.merkle import verify_path
from contracts.protocol.response import Receipt

from .cache import Name
from .index import Index

_MOST_HITS = 20
# Of what one hash can mean, the most telling first: a transaction that opens a dispute touches a response, too.
_KINDS = {"model": 0, "transaction of game": 1, "transaction of audit": 1, "response": 2, "receipt": 3}
_SHORTEST_PREFIX = 6  # hexadecimal digits


@dataclass(frozen=True)
class Place:
    """Where somebody says that a receipt's response is. With `path`, it is checked against the root on chain."""

    receipt: Receipt
    path: tuple[bytes, ...] | None


#: Asks somebody who holds receipts (a provider's node) for one, by an id or a leaf. Nothing that it says is trusted.
Resolver = Callable[[str], Place | None]


class Search:
    """Looks in the index first, then asks the resolvers."""

    def __init__(self, index: Index, resolvers: Sequence[Resolver] = ()) -> None:
        self._index, self._resolvers = index, resolvers

    def find(self, text: str) -> list[dict[str, Any]]:
        """Hits, the most certain first: {"page", "title"}; `page` is the part of a link behind the #."""
        asked = text.strip()[:200]
        if match := re.fullmatch(r"(\d{1,15})\s*[/:.,\s]\s*(\d{1,9})", asked):
            return self._response(int(match[1]), int(match[2]))
        if re.fullmatch(r"#?\d{1,15}", asked):
            return self._numbers(int(asked.lstrip("#")))
        if is_address(asked):
            address = to_checksum_address(asked)
            return [_hit(f"accounts/{address}", f"account {address}")]
        digits = asked.lower().removeprefix("0x")
        hits: list[dict[str, Any]] = []
        if re.fullmatch(rf"[0-9a-f]{{{_SHORTEST_PREFIX},64}}", digits):
            hits = self._hashes(digits)
        if not hits and re.fullmatch(r"[A-Za-z0-9_.-]{6,100}", asked):
            hits = self._resolved(asked)
        return hits[:_MOST_HITS]

    def _response(self, batch_id: int, place: int) -> list[dict[str, Any]]:
        with self._index.lock:
            batch = self._index.books.batches.get(batch_id)
        if batch is None or place >= batch.count:
            return []
        return [_hit(f"responses/{batch_id}/{place}", f"response {place} of batch {batch_id}")]

    def _numbers(self, number: int) -> list[dict[str, Any]]:
        with self._index.lock:
            books = self._index.books
            kinds = ("batches", "batch", books.batches), ("games", "dispute", books.games)
            return [
                _hit(f"{page}/{number}", f"{word} {number}") for page, word, held in kinds if number in held
            ]

    def _hashes(self, digits: str) -> list[dict[str, Any]]:
        whole, rest = bytes.fromhex(digits[: len(digits) & ~1]), digits[len(digits) & ~1 :]
        half = int(rest, 16) if rest else None
        named = self._index.cache.find_names(whole, half, 4 * _MOST_HITS)
        named.sort(key=lambda name: _KINDS.get(name.kind, len(_KINDS)))
        hits = [_named(name) for name in named]
        if len(digits) >= _SHORTEST_PREFIX:
            with self._index.lock:
                accounts = [a for a in self._index.books.accounts if a[2:].lower().startswith(digits)]
            hits += [_hit(f"accounts/{address}", f"account {address}") for address in accounts]
        return list({hit["page"]: hit for hit in hits}.values())

    def _resolved(self, name: str) -> list[dict[str, Any]]:
        for resolve in self._resolvers:
            if (place := resolve(name)) is not None and (hit := self._checked(name, place)) is not None:
                return [hit]
        return []

    def _checked(self, name: str, place: Place) -> dict[str, Any] | None:
        """The response whose leaf is proven to be in a batch on chain; a receipt's id must be that receipt's."""
        index, receipt = self._index, place.receipt
        chain_id, contracts = index.chain.chain_id, index.contracts
        leaf = receipt.leaf(chain_id, contracts.ledger.address)
        if re.fullmatch(r"0x[0-9a-fA-F]{64}", name):
            ids = leaf, receipt_id(receipt, chain_id, contracts.receipts.address)
            if bytes.fromhex(name[2:]) not in ids:
                return None
        if place.path is None:
            return None
        with index.lock:
            named = index.cache.find_names(receipt.batch_salt, None, _MOST_HITS)
            found = {one.first: index.books.batches.get(one.first) for one in named if one.first is not None}
        for batch_id, batch in found.items():
            if batch is None or batch.provider != receipt.provider:
                continue
            if verify_path(batch.root, leaf, place.path, receipt.index, batch.count):
                title = f"response {receipt.index} of batch {batch_id}"
                return _hit(f"responses/{batch_id}/{receipt.index}", title)
        return None


def _named(name: Name) -> dict[str, Any]:
    hash_ = "0x" + name.name.hex()
    match name.kind, name.first, name.second:
        case "model", _, _:
            return _hit(f"models/{hash_}", f"model {hash_}")
        case "response", batch, place:
            return _hit(f"responses/{batch}/{place}", f"response {place} of batch {batch}")
        case "batch" | "transaction of batch", batch, None:
            return _hit(f"batches/{batch}", f"batch {batch}")
        case "transaction of batch", batch, place:
            return _hit(f"responses/{batch}/{place}", f"response {place} of batch {batch}")
        case "transaction of game", game, _:
            return _hit(f"games/{game}", f"dispute {game}")
        case "transaction of audit", _, _:
            return _hit("audits", f"audit {name.first}")
        case _, batch, _:
            return _hit(f"batches/{batch}" if batch else "batches", f"claim on receipt {hash_}")


def _hit(page: str, title: str) -> dict[str, Any]:
    return {"page": page, "title": title}
