"""One SRS, one Anvil and one recorded proof of every statement kind per session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from contracts.bindings.compiler import compile_sources
from devnet.anvil import free_port, start_anvil, stop_process
from prover.curve.srs import SRS
from tests.oracles.hash_trace import TracingEvm
from tests.oracles.inventory import CASES, SRS_BITS, Recorded, record
from tests.verifier_gen.evm import Verifier
from tests.verifier_gen.statements import contract_of, small_sources


@pytest.fixture(scope="session")
def srs() -> SRS:
    return SRS.devnet(SRS_BITS)


@pytest.fixture(scope="session")
def evm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracingEvm]:
    anvil = start_anvil(free_port(), tmp_path_factory.mktemp("anvil") / "anvil.log", block_time_s=None)
    client = TracingEvm(anvil.rpc_url)
    yield client
    client.close()
    stop_process(anvil.pid)


@pytest.fixture(scope="session")
def verifier_of(evm: TracingEvm, srs: SRS) -> Callable[[str], Verifier]:
    """The deployed verifier of a statement kind, for small random layers."""
    artifacts = compile_sources(small_sources(srs))
    return cache(lambda kind: evm.deploy(artifacts[contract_of(kind)].creation_code))


@pytest.fixture(scope="session")
def recorded(srs: SRS) -> Callable[[str], Recorded]:
    """The recorded proof of a case of the inventory."""
    return cache(lambda case: record(*CASES[case][:2], srs))
