"""One SRS, one Anvil, and every statement proven at most once per session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from contracts.bindings.compiler import Artifact, compile_sources
from devnet.anvil import free_port, start_anvil, stop_process
from prover.curve.srs import SRS
from tests.prover.statements import MU
from tests.verifier_gen.evm import KEPT_CHAIN, Evm, Verifier
from tests.verifier_gen.statements import (
    Proven,
    contract_of,
    prove_kind,
    small_sources,
)


@pytest.fixture(scope="session")
def srs() -> SRS:
    return SRS.devnet(MU)


@pytest.fixture(scope="session")
def evm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evm]:
    with ExitStack() as stack:
        url = os.environ.get(KEPT_CHAIN)
        if not url:
            anvil = start_anvil(
                free_port(), tmp_path_factory.mktemp("anvil") / "anvil.log", block_time_s=None
            )
            stack.callback(stop_process, anvil.pid)
            url = anvil.rpc_url
        client = Evm(url)
        stack.callback(client.close)
        yield client


@pytest.fixture(scope="session")
def artifacts(srs: SRS) -> dict[str, Artifact]:
    return compile_sources(small_sources(srs))


@pytest.fixture(scope="session")
def verifier_of(evm: Evm, artifacts: dict[str, Artifact]) -> Callable[[str], Verifier]:
    """The deployed verifier of a statement kind."""
    return cache(lambda kind: evm.deploy(artifacts[contract_of(kind)].creation_code))


@pytest.fixture(scope="session")
def proven(srs: SRS) -> Callable[[str, int], Proven]:
    """A true statement of a kind (and window)."""

    @cache
    def make(kind: str, window: int = 0) -> Proven:
        return prove_kind(kind, srs, window)

    return make
