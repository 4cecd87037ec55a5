"""Lists of 100,000 responses: every page of them, from an index that was read from its cache."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from eth_abi.abi import encode

from contracts.bindings.chain import RawLog
from contracts.bindings.contract import BoundContract
from contracts.bindings.log_reader import Cursor
from explorer.cache import FiledLog, Name
from explorer.index import Index
from explorer.pages import Pages
from explorer.search import Search

from .conftest import Past

_BATCHES, _COUNT = 1_000, 100


def batch_log(ledger: BoundContract, number: int, provider: str, model_id: bytes) -> RawLog:
    """A BatchPosted as the ledger would leave it."""
    entry = ledger.interface.events["BatchPosted"]
    word = number.to_bytes(32, "big")
    named = {"batchId": number, "provider": provider, "modelId": model_id, "root": word[::-1], "salt": word, "count": _COUNT, "deadline": 10**9}  # fmt: skip
    inputs = entry["inputs"]
    topics = [encode([one["type"]], [named[one["name"]]]) for one in inputs if one["indexed"]]
    rest = [one for one in inputs if not one["indexed"]]
    data = encode([one["type"] for one in rest], [named[one["name"]] for one in rest])
    return RawLog(
        ledger.address, (ledger.interface.topics["BatchPosted"], *topics), data, number, word, word, 0
    )


@pytest.mark.long
def test_every_page_of_a_hundred_thousand_responses(past: Past, tmp_path: Path) -> None:
    contracts, file = past.stage.contracts, tmp_path / "many.sqlite"
    first = Index(contracts, file)
    logs = [
        batch_log(contracts.ledger, number, past.stage.arena.provider.address, past.stage.arena.model_id)
        for number in range(1, _BATCHES + 1)
    ]
    filed = [FiledLog(log, batch=number) for number, log in enumerate(logs, start=1)]
    names = [(log.block_number, Name(log.block_hash, "batch", log.block_number)) for log in logs]
    first.cache.store(filed, names, Cursor(_BATCHES, b"\1" * 32))
    first.cache.close()
    index, started = Index(contracts, file), time.perf_counter()
    index.catch_up(most_readings=0)
    loaded, pages = time.perf_counter(), Pages(index)
    numbers, before, longest = [], None, 0.0
    while True:
        began = time.perf_counter()
        page = pages.responses(before=before, limit=200)
        longest = max(longest, time.perf_counter() - began)
        numbers += [one["number"] for one in page["responses"]]
        if (before := page["before"]) is None:
            break
    ended = time.perf_counter()
    assert numbers == list(range(_BATCHES * _COUNT, 0, -1))
    assert Search(index).find("0x" + (777).to_bytes(32, "big").hex())[0]["page"] == "batches/777"
    print(f"loaded in {loaded - started:.2f} s; {len(numbers) // 200} pages in {ended - loaded:.2f} s, the slowest {1000 * longest:.1f} ms")  # fmt: skip
