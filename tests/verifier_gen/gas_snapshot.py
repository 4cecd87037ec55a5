"""What a transaction to a verifier costs with a kept proof, in a file that a review sees: snapshots/GasPerProof.json.

The kept statements are of small layers, so that their figures are lower than those of a real model; that a change of a template
or of the generator makes proofs dearer shows all the same. After one that should, write the file again with

    python -m tests.verifier_gen.gas_snapshot
"""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

from contracts.bindings.compiler import compile_sources
from prover.embedding import EmbeddingKey
from tests.verifier_gen.evm import Evm, Verifier
from tests.verifier_gen.golden_proofs import golden
from tests.verifier_gen.statements import privacy_of
from verifier_gen import CONTRACTS
from verifier_gen.generator import embedding_verifier, step_verifier

FILE = Path(__file__).parents[2] / "snapshots" / "GasPerProof.json"


@cache
def snapshot() -> dict[str, int]:
    """Kept statement -> gas of the whole transaction."""
    return {name: int(gas) for name, gas in json.loads(FILE.read_text(encoding="utf-8")).items()}


def deploy_verifier(evm: Evm, name: str) -> Verifier:
    """The verifier of a kept statement."""
    kept = golden(name)
    contract = CONTRACTS[privacy_of(kept.kind)[0]]
    make = embedding_verifier if isinstance(kept.verifying_key, EmbeddingKey) else step_verifier
    source = make(kept.verifying_key, insecure=True)  # type: ignore[operator]
    return evm.deploy(compile_sources({f"{contract}.sol": source})[contract].creation_code)


def write() -> None:
    """Measure every statement that the file names."""
    from devnet.anvil import free_port, start_anvil, stop_process

    with tempfile.TemporaryDirectory() as folder:
        anvil = start_anvil(free_port(), Path(folder) / "anvil.log", block_time_s=None)
        try:
            evm, measured = Evm(anvil.rpc_url), {}
            for name in snapshot():
                kept = golden(name)
                gas = deploy_verifier(evm, name).gas_used(kept.key, kept.inputs, kept.proof)
                measured[name] = str(gas)
            FILE.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
        finally:
            stop_process(anvil.pid)


if __name__ == "__main__":
    write()
