"""A node whose database failed for a while is still the only one: its lease shows life again afterwards."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from contracts.bindings.lease import Lease, Leases, heartbeat
from node.errors import DatabaseError
from node.store import open_engine


def test_the_heartbeat_survives_a_database_that_fails_under_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node's engine raises DatabaseError, which is none of SQLAlchemy's errors."""
    leases = Leases(open_engine(f"sqlite:///{tmp_path}/node.sqlite"), "chain:account")
    lease = leases.take("running provider", duration_s=10)
    assert lease is not None
    renew, failures, lost = leases.renew, [DatabaseError("disk I/O error; make room on its disk")] * 2, []

    def fail_twice(held: Lease) -> None:
        if failures:
            raise failures.pop()
        renew(held)

    monkeypatch.setattr(leases, "renew", fail_twice)
    with heartbeat(leases, lease, 0.02, lambda: lost.append(1)):
        until = time.monotonic() + 10
        while failures and time.monotonic() < until:
            time.sleep(0.02)
        second = leases.take("running provider", duration_s=5, patience_s=5, leave_living=True)
    assert not failures and second is None and not lost
