"""What every test starts from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import structlog

from prover.curve.srs import SRS

_LARGE = 14  # smaller ones take less than a tenth of a second, and tests of the string itself are about those


@pytest.fixture(autouse=True)
def usual_logs() -> Iterator[None]:
    """A command that a test ran in this process may have silenced the logs; the next test reads its own."""
    structlog.reset_defaults()
    yield


@pytest.fixture(scope="session", autouse=True)
def one_devnet_srs() -> Iterator[None]:
    """The devnet's reference string takes seconds, and every command makes one: a worker makes each once."""
    made = SRS.devnet
    kept = cache(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SRS, "devnet", staticmethod(lambda mu: kept(mu) if mu >= _LARGE else made(mu)))
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """See tests/scheduling.py."""
    if config.getoption("dist") != "loadscope":
        return None
    from .scheduling import FromBothEnds

    return FromBothEnds(config, log)
