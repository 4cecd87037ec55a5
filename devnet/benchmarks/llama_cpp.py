"""llama.cpp beside us on the same GGUF: one sequence, the same prompts' lengths, the same number of threads, the same run.

It comes as npm's `node-llama-cpp`, whose Linux package holds a built library; it is looked for in `node_modules` here and is never a
dependency. The weights are the file's: llama.cpp multiplies them as they are packed, we multiply the 16-bit integers that
`gainsay model import` makes of them, so a file of few bits gives llama.cpp fewer bytes to read per token than us.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from prover.model.execute import Executor
from prover.model.library import load_model

from ..errors import DevnetError
from .row_by_row import RowByRow

SHORT, LONG, TOKENS = 16, 512, 32
_SCRIPT = Path(__file__).with_suffix(".mjs")
_ROOT = Path(__file__).resolve().parents[2]
INSTALL = "npm install --no-save node-llama-cpp"


def find_modules(given: Path | None) -> Path | None:
    """The `node_modules` folder that has node-llama-cpp; None where there is none."""
    places = [given] if given is not None else [Path("node_modules"), _ROOT / "node_modules"]
    return next((place.resolve() for place in places if (place / "node-llama-cpp").is_dir()), None)


def measure_llama_cpp(name: str, models: Path, gguf: Path, modules: Path, threads: int) -> dict[str, Any]:
    """Tokens per second of both, and ours over llama.cpp's.

    Raises DevnetError where llama.cpp does not run.
    """
    if not gguf.is_file():
        raise DevnetError(
            f"{gguf} is not there; run `gainsay model fetch` first, or name the file with --gguf"
        )
    ours = _ours(Executor(load_model(name, models=models)))
    done = subprocess.run(
        ["node", str(_SCRIPT), str(modules), str(gguf), *map(str, (threads, SHORT, LONG, TOKENS))],
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    try:
        theirs = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise DevnetError(f"llama.cpp did not run: {(done.stderr or done.stdout).strip()[-500:]}") from error
    per_second = {"decode": 1.0, "decode_long": 1.0, "prefill": float(LONG)}
    theirs |= {f"{figure}_guessing_s": theirs[f"{figure}_s"] for figure in ("decode", "decode_long")}
    per_second |= {"decode_guessing": 1.0, "decode_long_guessing": 1.0}
    row: dict[str, Any] = {"model": name, "gguf": gguf.name, "threads": threads}
    for figure, tokens in per_second.items():
        us, them = ours[f"{figure}_s"], theirs[f"{figure}_s"]
        row[f"{figure}_tokens_per_s"] = round(tokens / us, 1)
        row[f"{figure}_llama_cpp_tokens_per_s"] = round(tokens / them, 1)
        row[f"{figure}_ratio"] = round(them / us, 3)
    return row


def _ours(executor: Executor) -> dict[str, float]:
    def ids(count: int, seed: int) -> list[int]:
        return [1 + (seed + 37 * i) % 199 for i in range(count)]

    def decode(by: Executor, prompt: list[int]) -> float:
        """Seconds a token; a pass whose guesses were right gives several at once."""
        moments: list[float] = []
        by.generate(prompt, TOKENS + 1, end_ids=(), on_token=lambda _: moments.append(time.perf_counter()))
        return (moments[-1] - moments[0]) / TOKENS

    row_by_row = RowByRow(executor.model)
    found: dict[str, float] = {}
    for by, name in ((row_by_row, ""), (executor, "_guessing")):
        decode(by, ids(SHORT, 1))
        found |= {
            f"decode{name}_s": decode(by, ids(SHORT, 2)),
            f"decode_long{name}_s": decode(by, ids(LONG, 3)),
        }
    started = time.perf_counter()
    executor.feed(ids(LONG, 4), executor.start())
    return found | {"prefill_s": time.perf_counter() - started}
