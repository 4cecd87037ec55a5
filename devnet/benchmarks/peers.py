"""One transformer block proven by Gainsay and by EZKL: the same float weights, input and number of tokens.

Gainsay proves every step of the layer, whose figures are added (tiles of a kind cost the same, so one is measured);
memory is that of the largest, since they are proven in turn. It works in windows of 32 rows, so 4 and 16 tokens cost it a whole padded window.

Columns mean the same for both systems:

    setup_s      Gainsay: public tables and weights committed; EZKL: circuit compiled, proving and verifying key made.
                 Reference strings (and EZKL's calibration) are not counted.
    prove_s      from the input to the proof, witness included
    peak_rss_mb  of the process that proves; setup_rss_mb of the one that sets up
    verify_s     natively; EZKL reads its files every time
    verify_gas   a whole transaction on a chain with today's limits; None says why in `note`
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.bindings.chain import Chain
from contracts.bindings.compiler import compile_sources
from contracts.bindings.errors import BindingsError
from prover.program import WINDOW_ROWS

from . import ezkl_stages, step_process
from .capped_process import DidNotFit, Limits, call_in_process, may_fit_now, unfit
from .gas import VerifierRefused, gas_meter, own_chain, send_and_wait
from .growth import on_chain
from .result_store import ResultStore
from .synthetic import synthetic_config

GAINSAY, EZKL = "gainsay", "ezkl"
CODE_LIMIT = 24_576
"""Bytes of code of one contract (EIP-170)."""
_TITLES = {
    "setup_s": "set-up, s",
    "prove_s": "prove, s",
    "peak_rss_mb": "peak memory, MB",
    "proof_bytes": "proof, bytes",
    "verify_s": "verify, s",
    "verify_gas": "verify, gas",
}
FIGURES = tuple(_TITLES)
FULL_WIDTHS, FULL_TOKENS = (32, 64, 128), (4, 16)

Report = Callable[[str], None]
Result = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """Width and tokens of a block; the rest follows from the width (synthetic.py)."""

    d: int
    tokens: int

    @property
    def name(self) -> str:
        """Its name in a store."""
        return f"d={self.d} tokens={self.tokens}"


def measure_gainsay(shape: Shape, store: ResultStore, folder: Path, limits: Limits, runs: int) -> Result:
    """Our figures for a block; kept ones are returned at once."""
    return _kept(f"{GAINSAY} {shape.name}", store, limits, lambda: _gainsay(shape, folder, limits, runs))


def measure_ezkl(shape: Shape, store: ResultStore, folder: Path, limits: Limits, report: Report) -> Result:
    """EZKL's figures for a block; kept stages are not run again."""
    return _kept(f"{EZKL} {shape.name}", store, limits, lambda: _ezkl(shape, store, folder, limits, report))


def _kept(name: str, store: ResultStore, limits: Limits, measure: Callable[[], Result]) -> Result:
    known = store.get(name)
    if known is not None and not may_fit_now(known, limits):
        return known
    try:
        return store.put(name, measure())
    except DidNotFit as error:
        return store.put(name, unfit(error.reason, limits))


def table(shapes: Sequence[Shape], results: dict[tuple[str, Shape], Result]) -> list[dict[str, Any]]:
    """One row per system and shape: the figures (None where there is none), and EZKL's over ours in `ratio`."""
    rows = []
    for shape in shapes:
        ours = results.get((GAINSAY, shape), {})
        for system in (GAINSAY, EZKL):
            found = results.get((system, shape))
            if found is None:
                continue
            row: dict[str, Any] = {"system": system, "d": shape.d, "tokens": shape.tokens}
            row |= {name: found.get(name) for name in FIGURES}
            row["note"] = found.get("did_not_fit") or found.get("note")
            row |= {name: value for name, value in found.items() if name not in row}
            if system == EZKL:
                row["ratio"] = {name: _ratio(found.get(name), ours.get(name)) for name in FIGURES}
            rows.append(row)
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The same as one Markdown table; under each EZKL row, how many times ours it is."""
    titles = ["d", "tokens", "system", *_TITLES.values(), "note"]
    lines = [titles, ["---"] * len(titles)]
    for row in rows:
        shape = [str(row["d"]), str(row["tokens"])]
        figures = ["" if row[name] is None else f"{row[name]:,}" for name in FIGURES]
        lines.append([*shape, row["system"], *figures, row["note"] or ""])
        ratios = row.get("ratio")
        if ratios is not None:
            times = ["" if ratios[name] is None else f"{ratios[name]:,.3g}x" for name in FIGURES]
            lines.append([*shape, f"{row['system']} / {GAINSAY}", *times, ""])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratio(theirs: float | None, ours: float | None) -> float | None:
    return None if theirs is None or not ours else round(theirs / ours, 3)


# --- ours -----------------------------------------------------------------------------------------------


def _gainsay(shape: Shape, folder: Path, limits: Limits, runs: int) -> Result:
    from prover.curve.srs import SRS

    commitments = folder / "peers" / f"d{shape.d}"
    shutil.rmtree(commitments, ignore_errors=True)
    model = {"d": shape.d, "layers": 1, "experts": 0, "commitments": str(commitments)}
    set_up = call_in_process(step_process.SET_UP, model, limits)
    proofs, gas, code = [], [], []
    config = synthetic_config(shape.d)
    with gas_meter(config, SRS.devnet(18)) as meter:
        for end in range(WINDOW_ROWS, shape.tokens + WINDOW_ROWS, WINDOW_ROWS):
            for step in config.kinds:
                task = {**model, "step": step, "tokens": min(end, shape.tokens), "runs": runs}
                done, tiles = call_in_process(step_process.PROVE, task, limits), config.steps[step].tiles
                checked = on_chain(meter, step, done.result)
                proofs += tiles * [done]
                gas += tiles * [checked["verify_gas"]]
                code.append(checked["verifier_bytes"])
    figures = [done.result["figures"] for done in proofs]
    phases = {name: sum(f["phases"][name] for f in figures) for name in figures[0]["phases"]}
    return {
        "setup_s": set_up.result["setup_s"],
        "prove_s": round(sum(f["prove_s"] for f in figures), 3),
        "peak_rss_mb": max(done.peak_rss_mb for done in proofs),
        "proof_bytes": sum(f["proof_bytes"] for f in figures),
        "verify_s": round(sum(f["verify_s"] for f in figures), 4),
        "verify_gas": sum(gas),
        "note": f"{len(proofs)} proofs, windows of {WINDOW_ROWS} rows padded",
        "setup_rss_mb": set_up.peak_rss_mb,
        "verifier_bytes": max(size for size in code if size is not None),
        "phases": {name: round(seconds, 3) for name, seconds in phases.items()},
    }


# --- EZKL -----------------------------------------------------------------------------------------------


def _ezkl(shape: Shape, store: ResultStore, folder: Path, limits: Limits, report: Report) -> Result:
    """Every stage that ends is kept at once; the folder of a shape holds what the next one needs."""
    place = folder / "ezkl" / f"d{shape.d}-tokens{shape.tokens}"
    place.mkdir(parents=True, exist_ok=True)
    argument = {"d": shape.d, "tokens": shape.tokens, "folder": str(place), "references": str(place.parent)}
    result: Result = {"phases": {}}
    for target in ezkl_stages.STAGES:
        label = target.partition(":")[2]
        name, ended = f"{EZKL} {shape.name} stage {label}", place / f"{label}.ended"
        stage = store.get(name) if ended.exists() else None  # figures without the files help no later stage
        if stage is None:
            report(f"{EZKL} {shape.name}: {label}")
            try:
                done = call_in_process(target, argument, limits)
            except DidNotFit as error:
                result |= unfit(f"{label}: {error.reason}", limits)
                break
            stage = store.put(name, {**done.result, "stage_rss_mb": done.peak_rss_mb})
            ended.touch()
        _add_stage(result, target, stage)
    else:
        source = (place / ezkl_stages.CONTRACT_FILE).read_text(encoding="utf-8")
        result |= contract_gas(source, (place / ezkl_stages.CALLDATA_FILE).read_bytes())
    shutil.rmtree(place)  # gigabytes of keys
    return result


def _add_stage(result: Result, target: str, stage: Result) -> None:
    """Take a stage's figures into the row; seconds also into the columns that they are part of."""
    phases = result["phases"]
    phases |= {name: round(seconds, 3) for name, seconds in stage.get("seconds", {}).items()}
    result |= {name: value for name, value in stage.items() if name not in ("seconds", "stage_rss_mb")}
    match target:
        case ezkl_stages.KEYS:
            result["setup_s"] = round(phases["compile"] + phases["keys"], 3)
            result["setup_rss_mb"] = stage["stage_rss_mb"]
        case ezkl_stages.PROVE:
            result["prove_s"] = round(phases["witness"] + phases["prove"], 3)
            result["peak_rss_mb"] = stage["stage_rss_mb"]
        case ezkl_stages.VERIFY:
            result["verify_s"] = round(phases["verify"], 4)


def contract_gas(source: str, calldata: bytes) -> Result:
    """Gas of one transaction that verifies a proof with a peer's contract, on an Anvil with today's limits.

    Code above the limit is put in place by the chain's operator: its gas is `forced_gas`, and `verify_gas` is None.
    """
    try:
        artifact = next(a for a in compile_sources({"Peer.sol": source}).values() if a.creation_code)
    except BindingsError as error:
        return {"verify_gas": None, "note": f"its contract does not compile: {str(error)[:200]}"}
    size = len(artifact.runtime_code)
    with own_chain() as chain:
        account = chain.unlocked_accounts()[0]
        fits = size <= CODE_LIMIT
        if fits:
            address = str(send_and_wait(chain, account, None, artifact.creation_code)["contractAddress"])
        else:
            address = "0x" + "be" * 20
            chain.request("anvil_setCode", [address, "0x" + artifact.runtime_code.hex()])
        try:
            gas = _accepted_gas(chain, account, address, calldata)
        except (VerifierRefused, BindingsError) as error:
            return {"verify_gas": None, "verifier_bytes": size, "note": str(error)[:200]}
    if fits:
        return {"verify_gas": gas, "verifier_bytes": size}
    note = f"{size:,} bytes of code, above the {CODE_LIMIT:,} that can be deployed"
    return {"verify_gas": None, "forced_gas": gas, "verifier_bytes": size, "note": note}


def _accepted_gas(chain: Chain, account: str, address: str, calldata: bytes) -> int:
    """Gas of a call that answers true; raises VerifierRefused for any other answer."""
    answer = str(chain.request("eth_call", [{"to": address, "data": "0x" + calldata.hex()}, "latest"]))
    if answer == "0x" or int(answer, 16) != 1:
        raise VerifierRefused(f"the contract answers {answer[:66]} to a proof that its prover made")
    return int(str(send_and_wait(chain, account, address, calldata)["gasUsed"]), 16)
