"""EZKL on one block, stage by stage; each is called in a process of its own, so imports are inside.

A folder carries the state from stage to stage. Settings are EZKL's defaults (weights fixed in the circuit, input
and output public), calibrated for fewest resources; its reference string is generated here, as ours is.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import DevnetError

_MODULE = "devnet.benchmarks.ezkl_stages"
KEYS, PROVE, VERIFY = (f"{_MODULE}:{name}" for name in ("make_keys", "prove", "verify"))
STAGES = (f"{_MODULE}:export", f"{_MODULE}:compile_circuit", KEYS, PROVE, VERIFY, f"{_MODULE}:write_contract")
"""What is done for a shape, in order."""
INSTALL = "`pip install 'gainsay[peers]'`"
_RUNS = 5
CONTRACT_FILE, CALLDATA_FILE = "Halo2Verifier.sol", "calldata"


class EzklMissing(DevnetError):
    """EZKL or what exporting to it needs is not installed."""


def require_ezkl() -> str:
    """EZKL's version; raises EzklMissing that says how to install it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        version("onnx")
        return version("ezkl")
    except PackageNotFoundError as error:
        raise EzklMissing(
            f"the Python package {error.name} is not installed; run {INSTALL} or pass --skip-ezkl"
        ) from error


def export(argument: dict[str, Any]) -> dict[str, Any]:
    """Write the block {d, tokens} as ONNX with its input and the float output."""
    from .float_block import block_input, export_onnx, float_output
    from .synthetic import prompt_ids, synthetic_model

    folder = Path(argument["folder"])
    model = synthetic_model(argument["d"])
    x = block_input(model, prompt_ids(model, argument["tokens"]))
    export_onnx(model, x, folder / "block.onnx")
    _write(folder / "input.json", {"input_data": [[float(value) for value in x.reshape(-1)]]})
    _write(folder / "float.json", [float(value) for value in float_output(model, x).reshape(-1)])
    return {}


def compile_circuit(argument: dict[str, Any]) -> dict[str, Any]:
    """Settings, calibration, circuit and reference string (kept in `references`): seconds, and the circuit's size."""
    import ezkl

    folder, seconds = Path(argument["folder"]), {}
    model, settings = folder / "block.onnx", folder / "settings.json"
    seconds["settings"] = _timed(lambda: ezkl.gen_settings(model, settings, ezkl.PyRunArgs()))
    seconds["calibrate"] = _timed(
        lambda: ezkl.calibrate_settings(str(folder / "input.json"), model, settings, "resources")
    )
    seconds["compile"] = _timed(lambda: ezkl.compile_circuit(model, folder / "circuit", settings))
    chosen = json.loads(settings.read_text(encoding="utf-8"))
    rows = chosen["run_args"]["logrows"]
    srs = Path(argument["references"]) / f"srs-{rows}"
    if not srs.exists():  # the same for every circuit of this size
        seconds["srs"] = _timed(lambda: ezkl.gen_srs(folder / "srs", rows))
        os.replace(folder / "srs", srs)
    (folder / "srs").unlink(missing_ok=True)
    (folder / "srs").symlink_to(srs.resolve())
    return {"seconds": seconds, "log_rows": rows, "scale": chosen["run_args"]["input_scale"]}


def make_keys(argument: dict[str, Any]) -> dict[str, Any]:
    """Proving and verifying keys."""
    import ezkl

    folder = Path(argument["folder"])
    seconds = _timed(lambda: ezkl.setup(folder / "circuit", folder / "vk", folder / "pk", folder / "srs"))
    return {"seconds": {"keys": seconds}, "proving_key_bytes": (folder / "pk").stat().st_size}


def prove(argument: dict[str, Any]) -> dict[str, Any]:
    """Witness and proof, and the largest difference of the proven output from the float block's."""
    import ezkl

    folder, seconds = Path(argument["folder"]), {}
    witness, proof = folder / "witness.json", folder / "proof.json"
    seconds["witness"] = _timed(
        lambda: ezkl.gen_witness(
            str(folder / "input.json"), folder / "circuit", witness, folder / "vk", folder / "srs"
        )
    )
    seconds["prove"] = _timed(
        lambda: ezkl.prove(witness, folder / "circuit", folder / "pk", proof, folder / "srs")
    )
    outputs = json.loads(witness.read_text(encoding="utf-8"))["pretty_elements"]["rescaled_outputs"][0]
    expected = json.loads((folder / "float.json").read_text(encoding="utf-8"))
    error = max(abs(float(got) - wanted) for got, wanted in zip(outputs, expected, strict=True))
    encoded = json.loads(proof.read_text(encoding="utf-8"))["proof"]
    size = len(encoded) if isinstance(encoded, list) else len(encoded.removeprefix("0x")) // 2
    return {"seconds": seconds, "proof_bytes": size, "largest_error": round(error, 5)}


def verify(argument: dict[str, Any]) -> dict[str, Any]:
    """Median seconds of verifying; EZKL reads keys and proof from files every time."""
    import ezkl

    folder = Path(argument["folder"])
    files = [folder / name for name in ("proof.json", "settings.json", "vk", "srs")]
    if not _done(lambda: ezkl.verify(*files)):
        raise DevnetError("EZKL does not accept its own proof")
    return {
        "seconds": {"verify": statistics.median(_timed(lambda: ezkl.verify(*files)) for _ in range(_RUNS))}
    }


def write_contract(argument: dict[str, Any]) -> dict[str, Any]:
    """EZKL's Solidity verifier and the calldata of its proof, as files."""
    import ezkl

    folder = Path(argument["folder"])
    source = folder / CONTRACT_FILE
    with suppress(RuntimeError):  # it also wants a `solc` on the PATH for an ABI that nobody needs here
        files = [folder / "vk", folder / "settings.json", source, folder / "abi.json", folder / "srs"]
        _done(lambda: ezkl.create_evm_verifier(*files))
    if not source.is_file():
        raise DevnetError("EZKL wrote no Solidity verifier")
    _done(lambda: ezkl.encode_evm_calldata(folder / "proof.json", folder / CALLDATA_FILE))
    return {}


def _timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    _done(action)
    return time.perf_counter() - started


def _done(action: Callable[[], Any]) -> Any:
    """The result of a call. Some of EZKL's functions want a running loop and return an awaitable."""

    async def wait() -> Any:
        answer = action()
        return await answer if hasattr(answer, "__await__") else answer

    return asyncio.run(wait())


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
