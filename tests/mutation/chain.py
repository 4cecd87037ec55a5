"""One Anvil for a whole run of mutants: starting it takes as long as a verification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devnet.anvil import free_port, start_anvil, stop_process
from tests.verifier_gen.evm import KEPT_CHAIN


@contextmanager
def warm_chain(folder: Path) -> Iterator[dict[str, str]]:
    """The environment that makes tests of generated verifiers use it; every test deploys at a fresh address."""
    anvil = start_anvil(free_port(), folder / "anvil.log", block_time_s=None)
    try:
        yield {KEPT_CHAIN: anvil.rpc_url}
    finally:
        stop_process(anvil.pid)
