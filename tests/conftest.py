"""What every test starts from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def usual_logs() -> Iterator[None]:
    """A command that a test ran in this process may have silenced the logs; the next test reads its own."""
    structlog.reset_defaults()
    yield
