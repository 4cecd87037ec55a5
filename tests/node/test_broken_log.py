"""A log that cannot be written (a full disk, a closed pipe) ends no loop: neither the node's workers nor the challenger's."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from challenger.loops import Loop
from contracts.bindings.log_setup import configure_logging
from node.metrics import Metrics
from node.worker import Worker


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("sys.stderr", FullDisk())
    configure_logging()
    yield
    structlog.reset_defaults()


def test_a_failing_step_whose_log_line_cannot_be_written_is_tried_again(full_disk: None) -> None:
    tried, stop = threading.Semaphore(0), threading.Event()

    def fail() -> bool:
        tried.release()
        raise RuntimeError("the database is full")

    worker = Worker("test", fail, 0.01, Metrics())  # type: ignore[arg-type]
    worker.start()
    assert all(tried.acquire(timeout=10) for _ in range(3)) and not worker.has_ended
    worker.stop()
    loop = Loop("test", fail, 0.01, stop)
    loop.start()
    assert all(tried.acquire(timeout=10) for _ in range(3))
    stop.set()
    loop.join(10)


def test_a_log_goes_on_where_it_can_be_written_again(
    full_disk: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "log").open("w") as file:
        structlog.get_logger().info("dropped")
        monkeypatch.setattr("sys.stderr", file)
        structlog.get_logger().info("kept")
    structlog.get_logger().info("closed")
    assert "kept" in (tmp_path / "log").read_text() and "dropped" not in (tmp_path / "log").read_text()
