"""One SRS, one Anvil and one recorded proof of every statement kind per session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

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
def verifier_of(evm: TracingEvm, srs: SRS, request: pytest.FixtureRequest) -> Callable[[str], Verifier]:
    """The deployed verifier of a statement kind, for small random layers; compiled are those of the tests that run."""
    tests = (item for item in request.session.items if isinstance(item, pytest.Function))
    ours = (item for item in tests if item.path.parent == Path(__file__).parent)
    cases = {item.callspec.params["case"] for item in ours if "verifier_of" in item.fixturenames}
    wanted = {f"{contract_of(CASES[case][0])}.sol" for case in cases}
    artifacts = compile_sources({path: text for path, text in small_sources(srs).items() if path in wanted})
    return cache(lambda kind: evm.deploy(artifacts[contract_of(kind)].creation_code))


@pytest.fixture(scope="session")
def recorded(srs: SRS) -> Callable[[str], Recorded]:
    """The recorded proof of a case of the inventory."""
    return cache(lambda case: record(*CASES[case][:2], srs))
