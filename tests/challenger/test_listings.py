"""Whatever a provider lists, the challenger reads it or says so in one error; and what it stores it can use again."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from challenger.bounded_fetch import BoundedFetcher, FetchFailed
from challenger.errors import ProviderUnreachable
from challenger.provider_client import BatchOnChain, KnownResponse, ProviderClient, provider_book
from challenger.verdicts import malformed
from contracts.bindings.settings import SettingsError
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.response import ResponseFields, response_leaf
from prover.sampling import Sampling
from tests.challenger.hostile_server import (
    HostileServer,
    dripped_body,
    dripped_head,
    endless_body,
    interim_answers,
    raw,
)
from tests.challenger.malformed_listings import by_hand, mutations

_CHAIN_ID, _LEDGER, _PROVIDER = 31337, "0x" + "11" * 20, "0x" + "22" * 20


class Listing:
    """A real listing of `count` responses, and the batch that it belongs to. It is its own transport: `get` gives
    whatever body the test puts into it, so that the client's whole reading is exercised without a socket."""

    def __init__(self, count: int) -> None:
        ids = [([1, 2, 3 + index], [7, index]) for index in range(count)]
        rules = [Sampling(700, 2**64 - 1, 50) if index % 2 else None for index in range(count)]
        fields = [ResponseFields.of(*each, 4, 10**15, rule) for each, rule in zip(ids, rules, strict=True)]
        salt, model_id = secrets.token_bytes(32), secrets.token_bytes(32)
        leaves = [
            response_leaf(_CHAIN_ID, _LEDGER, _PROVIDER, model_id, salt, index, item)
            for index, item in enumerate(fields)
        ]
        self.batch = BatchOnChain(5, _PROVIDER, model_id, MerkleTree(leaves).root, salt, count)
        self.real: dict[str, Any] = {
            "batch_id": 5,
            "responses": [
                {
                    "index": index,
                    "leaf": "0x" + leaves[index].hex(),
                    "receipt_id": "0x" + secrets.token_hex(32),
                    "prompt_ids": prompt,
                    "output_ids": output,
                    "max_tokens": 4,
                    "fee_wei": str(10**15),
                    **(
                        {}
                        if rules[index] is None
                        else {"sampling_hash": "0x" + fields[index].sampling_hash.hex()}
                    ),
                    "latency_s": 0.5,
                }
                for index, (prompt, output) in enumerate(ids)
            ],
        }
        self.body = json.dumps(self.real).encode()
        self.client = ProviderClient("http://provider", fetcher=self)  # type: ignore[arg-type]

    def get(self, url: str, *, within_s: float, at_most_bytes: int) -> bytes:
        if len(self.body) > at_most_bytes:
            raise FetchFailed("too long")
        return self.body

    def read(self, body: bytes) -> list[KnownResponse] | None:
        """None when it was refused. Any other exception is the bug that this file looks for."""
        self.body = body
        try:
            known = self.client.responses(self.batch, _CHAIN_ID, _LEDGER)
        except ProviderUnreachable as error:
            str(error).encode("ascii")
            return None
        for response in known:
            assert 0 <= response.index < self.batch.count
            malformed(response.fields, 2048, 24)
            if response.ids is not None:
                assert response.fields.matches(*response.ids)
        return known


def test_a_real_listing_is_read_whole() -> None:
    listing = Listing(3)
    known = listing.read(listing.body)
    assert known is not None
    assert [response.latency_s for response in known if response.ids] == [0.5] * 3


def test_malformed_listings_are_refused_or_read_in_part() -> None:
    listing = Listing(1)
    started = time.monotonic()
    for body in by_hand(listing.real):
        listing.read(body)
    assert time.monotonic() - started < 60


def test_one_spoiled_entry_does_not_hide_the_others() -> None:
    listing = Listing(4)
    listing.real["responses"][2]["prompt_ids"] = [2**32]
    listing.real["responses"][3]["fee_wei"] = -1
    known = listing.read(json.dumps(listing.real).encode())
    assert known is not None
    assert [response.index for response in known] == [0, 1]


def test_an_absurd_latency_is_no_latency() -> None:
    listing = Listing(5)
    for entry, latency in zip(listing.real["responses"], ["@@", True, -1, "1", 1e308], strict=True):
        entry["latency_s"] = latency
    known = listing.read(json.dumps(listing.real).replace('"@@"', "1" + "0" * 90).encode())
    assert known is not None
    assert [response.latency_s for response in known] == [None] * 5


def fuzz(count: int, seed: int) -> tuple[int, int]:
    """(refused, read) of so many mutated listings."""
    read = 0
    for size, share in ((1, 2), (2, 4), (7, 4)):
        listing = Listing(size)
        stream = mutations(listing.real, seed + size)
        for _ in range(count // share):
            read += listing.read(next(stream)) is not None
    return count - read, read


def test_mutated_listings() -> None:
    refused, read = fuzz(4_000, seed=1)
    assert refused > 1000 and read > 100


@pytest.mark.long
def test_a_hundred_thousand_mutated_listings() -> None:
    refused, read = fuzz(120_000, seed=time.time_ns() % 2**32)
    assert refused > 30_000 and read > 3_000


# --- the transport


@pytest.fixture
def server() -> Iterator[HostileServer]:
    server = HostileServer()
    yield server
    server.close()


@pytest.mark.parametrize(
    "answer",
    [
        dripped_body(0.2),
        endless_body(),
        *(pytest.param(answer, marks=pytest.mark.long) for answer in (dripped_head(0.2), interim_answers())),
    ],
    ids=lambda a: a.__qualname__,
)
def test_no_answer_holds_the_reader_for_longer_than_its_deadline(server: HostileServer, answer: Any) -> None:
    server.fallback = answer
    started = time.monotonic()
    with pytest.raises(FetchFailed):
        BoundedFetcher().get(server.url + "/x", within_s=1.5, at_most_bytes=1 << 20)
    assert time.monotonic() - started < 5


def test_redirects_and_compression_are_refused(server: HostileServer) -> None:
    fetcher = BoundedFetcher()
    server.answers["/moved"] = raw(302, b"", "location: /there\r\n")
    server.answers["/there"] = raw(200, b"{}")
    server.answers["/bomb"] = raw(200, b"\x1f\x8b" + bytes(100), "content-encoding: gzip\r\n")
    for path in ("/moved", "/bomb"):
        with pytest.raises(FetchFailed):
            fetcher.get(server.url + path, within_s=5, at_most_bytes=1 << 20)
    assert fetcher.get(server.url + "/there", within_s=5, at_most_bytes=10) == b"{}"
    assert [path for _, path in server.requests] == ["/moved", "/bomb", "/there"]


def test_withheld_ids_cost_a_bounded_number_of_requests(server: HostileServer) -> None:
    listing = Listing(400)
    for entry in listing.real["responses"]:
        del entry["prompt_ids"]
    server.answers["/v1/batches/5"] = raw(200, json.dumps(listing.real).encode())
    assert ProviderClient(server.url).responses(listing.batch, _CHAIN_ID, _LEDGER) == []
    assert len(server.requests) == 1 + 256


# --- who is asked


def test_every_bare_url_is_asked() -> None:
    book = provider_book(["http://a:1", "http://b:2", f"{_PROVIDER}=http://c:3", f"{_PROVIDER}=http://d:4"])
    from eth_utils.address import to_checksum_address

    own = to_checksum_address(_PROVIDER)
    assert [client.base_url for client in book.of(own)] == ["http://c:3", "http://d:4"]
    assert [client.base_url for client in book.of("0x" + "33" * 20)] == ["http://a:1", "http://b:2"]


@pytest.mark.parametrize("text", ["0x12=http://a", "ftp://a", "a:1", "", f"{_PROVIDER}=", "http://"])
def test_a_wrong_provider_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="--provider"):
        provider_book([text])
