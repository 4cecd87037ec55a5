"""What every test starts from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog


@pytest.fixture(autouse=True)
def usual_logs() -> Iterator[None]:
    """A command that a test ran in this process may have silenced the logs; the next test reads its own."""
    structlog.reset_defaults()
    yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """See tests/scheduling.py."""
    if config.getoption("dist") != "loadscope":
        return None
    from .scheduling import FromBothEnds

    return FromBothEnds(config, log)
