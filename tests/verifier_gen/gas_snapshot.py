"""What a transaction to a verifier costs with a kept proof, in a file that a review sees: snapshots/GasPerProof.json.

The kept statements are of small layers, so that their figures are lower than those of a real model; that a change of a template
or of the generator makes proofs dearer shows all the same. After one that should, write the file again with

    python -m tests.verifier_gen.gas_snapshot
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from contracts.bindings.compiler import compile_sources
from prover.embedding import EmbeddingKey
from prover.statement import VerifyingKey
from tests.verifier_gen.evm import Evm
from tests.verifier_gen.golden_proofs import golden
from tests.verifier_gen.statements import privacy_of
from verifier_gen import CONTRACTS
from verifier_gen.generator import embedding_verifier, step_verifier

FILE = Path(__file__).parents[2] / "snapshots" / "GasPerProof.json"
Key = VerifyingKey | EmbeddingKey


@cache
def snapshot() -> dict[str, int]:
    """Kept statement -> gas of the whole transaction."""
    return {name: int(gas) for name, gas in json.loads(FILE.read_text(encoding="utf-8")).items()}


def compile_verifiers(names: Iterable[str]) -> dict[Key, bytes]:
    """Key -> creation code of its verifier, of kept statements.

    All in one request, each under a name of its own: to start the compiler takes longer than to compile another contract.
    """
    kinds = {golden(name).verifying_key: privacy_of(golden(name).kind)[0] for name in names}
    sources = {}
    for number, (key, kind) in enumerate(kinds.items()):
        make = embedding_verifier if isinstance(key, EmbeddingKey) else step_verifier
        text: str = make(key, insecure=True)  # type: ignore[operator]
        contract = f"contract {CONTRACTS[kind]} "
        assert text.count(contract) == 1
        sources[f"Kept{number}.sol"] = text.replace(contract, f"contract Kept{number} ")
    artifacts = compile_sources(sources)
    return {key: artifacts[f"Kept{number}"].creation_code for number, key in enumerate(kinds)}


def write() -> None:
    """Measure every statement that the file names."""
    from devnet.anvil import free_port, start_anvil, stop_process

    with tempfile.TemporaryDirectory() as folder:
        anvil = start_anvil(free_port(), Path(folder) / "anvil.log", block_time_s=None)
        try:
            evm, measured, codes = Evm(anvil.rpc_url), {}, compile_verifiers(snapshot())
            for name in snapshot():
                kept = golden(name)
                gas = evm.deploy(codes[kept.verifying_key]).gas_used(kept.key, kept.inputs, kept.proof)
                measured[name] = str(gas)
            FILE.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
        finally:
            stop_process(anvil.pid)


if __name__ == "__main__":
    write()
