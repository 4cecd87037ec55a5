"""Faults are told within a second, and once each, by small probes; one slow answer is no fault."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.bindings.chain import Chain
from node import pulse as module
from node.metrics import Metrics
from node.pulse import ChainProbe, DiskProbe, FilesProbe, Pulse, Unwell
from node.store import Journal, open_engine
from tests.contracts.local_chain import LocalChain
from tests.contracts.rpc_proxy import rpc_proxy


def seconds_until(holds: Callable[[], bool], limit_s: float = 10.0) -> float:
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < limit_s
        time.sleep(0.01)
    return time.monotonic() - started


def test_a_chain_that_hangs_and_a_locked_database_are_told_and_forgotten(
    tmp_path: Path, local_chain: LocalChain
) -> None:
    """The real chain behind a proxy that freezes; a real lock. Each is found though the other lasts."""
    journal = Journal(open_engine(f"sqlite:///{tmp_path}/node.db"))
    blocks = threading.Event()
    with rpc_proxy(local_chain.chain.rpc_url) as proxy:
        pulse = Pulse(1.0, Metrics())
        pulse.add("the chain", ChainProbe(Chain(proxy.url), pulse.patience_s, blocks.set, None, None))
        pulse.add("the database", journal.probe(pulse.patience_s))
        pulse.start()
        try:
            assert blocks.wait(10) and pulse.reason() is None
            blocks.clear()
            local_chain.mine()
            assert blocks.wait(10)

            proxy.frozen.set()
            seconds_until(lambda: pulse.reason() is not None)
            assert "does not answer" in (pulse.reason() or "")
            proxy.frozen.clear()
            seconds_until(lambda: pulse.reason() is None)

            holder = sqlite3.connect(tmp_path / "node.db", isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            seconds_until(lambda: "database is locked" in (pulse.reason() or ""))
            holder.execute("ROLLBACK")
            seconds_until(lambda: pulse.reason() is None)
            assert pulse.in_time(lambda: "said") == "said"
            assert pulse.in_time(lambda: time.sleep(2)) == "the database does not answer in time"  # type: ignore[func-returns-value]
        finally:
            pulse.stop()
    assert pulse.in_time(lambda: "said") == "said"


def test_a_slow_endpoint_is_not_a_dead_one(local_chain: LocalChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_PATIENCE_S", 2.0)
    with rpc_proxy(local_chain.chain.rpc_url, latency_s=0.1) as proxy:
        probe = ChainProbe(Chain(proxy.url), 0.01, lambda: None, None, None)
        for _ in range(3):
            probe()


@pytest.mark.long
def test_a_very_slow_endpoint_stays_well_and_is_missed_when_it_goes(local_chain: LocalChain) -> None:
    with rpc_proxy(local_chain.chain.rpc_url, latency_s=1.1) as proxy:
        pulse, blocks = Pulse(1.0, Metrics()), threading.Event()
        pulse.add("the chain", ChainProbe(Chain(proxy.url), pulse.patience_s, blocks.set, None, None))
        pulse.start()
        try:
            started = time.monotonic()
            while time.monotonic() - started < 9:
                assert pulse.reason() is None
                time.sleep(0.02)
            assert blocks.is_set()
            proxy.frozen.set()
            seconds_until(lambda: pulse.reason() is not None, 20)
            proxy.frozen.clear()
            seconds_until(lambda: pulse.reason() is None, 30)
        finally:
            pulse.stop()


def test_clocks_that_differ_are_told(local_chain: LocalChain) -> None:
    chain = local_chain.chain
    age = time.time() - chain.head().timestamp
    ChainProbe(chain, 1.0, lambda: None, age + 60, 60 - age)()
    with pytest.raises(Unwell, match="it is too old; check that the RPC endpoint keeps up"):
        ChainProbe(chain, 1.0, lambda: None, age - 60, None)()
    with pytest.raises(Unwell, match=r"clock is .* s behind the chain's newest block.*NTP"):
        ChainProbe(chain, 1.0, lambda: None, None, -60 - age)()


def test_folders_and_files_are_what_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DiskProbe([tmp_path])()
    assert not list(tmp_path.iterdir())
    disk = DiskProbe([tmp_path / "traces"])
    disk()
    (tmp_path / "traces").rmdir()
    with pytest.raises(Unwell, match="nothing can be written in"):
        disk()
    monkeypatch.setattr(module, "LEAST_DISK_BYTES", 2**80)
    with pytest.raises(Unwell, match="MB left; make room"):
        DiskProbe([tmp_path])()
    (tmp_path / "weights").write_bytes(b"123")
    probe = FilesProbe("the model", [tmp_path / "weights"])
    probe()
    (tmp_path / "weights").write_bytes(b"1234")
    with pytest.raises(Unwell, match="the model changed on the disk"):
        probe()
