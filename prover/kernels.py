"""Every kernel compiled now, so that nothing later waits for it: `gainsay kernels`, which `make setup` runs.

Numba compiles a kernel when it is first called and keeps the result beside its source, for this kind of processor.
No list of kernels is written anywhere: a model is run and committed, and every kind of its steps proven and verified. The
model is small, so products of the sizes that only large ones have are taken besides.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .curve import pairing
from .curve.g1 import GENERATOR, negate
from .curve.g2 import GENERATOR_G2
from .curve.msm import FixedBase
from .curve.row_sums import row_sums
from .curve.srs import SRS
from .embedding import verify_embedding
from .field.arrays import from_ints
from .model.exact_gemm import compile_products
from .model.library import TINY, load_model
from .model.weights import IntegerModel
from .model_commitment import commit_model
from .operators.block_attention import compile_block_attention
from .operators.word_attention import compile_word_attention
from .other_threads import visit_each
from .progress import Report
from .replay import Replay
from .statement import Statement
from .verify import verify

STAGE = "compile the kernels (a minute, once per machine)"
SRS_BITS = 18
_CHECKED_BITS = 8
_PROMPT = 40
"""Tokens: a whole window and a part of one."""


def compile_kernels(report: Report, srs: SRS | None = None) -> int:
    """How many were compiled: none where all are kept already. `srs` saves making one of `SRS_BITS`."""
    with _counting(report) as compiled:
        srs = srs or SRS.devnet(SRS_BITS)
        srs.truncated(_CHECKED_BITS).check_consistency()
        compile_products()
        row_sums(srs.g1[:1], np.ones((2, 1), np.int64))
        pairing.pairing_check([(GENERATOR, GENERATOR_G2), (negate(GENERATOR), GENERATOR_G2)])
        FixedBase(GENERATOR).multiples(from_ints([1]))
        compile_block_attention()
        compile_word_attention()
        visit_each(np.zeros(1, dtype=np.int64))
        _answer_and_prove(load_model(TINY), srs)
    return len(compiled)


def _answer_and_prove(model: IntegerModel, srs: SRS) -> None:
    """One token, then proofs of one step of every kind, of the head and of the embedding, all verified."""
    commitment = commit_model(model, srs, cache_dir=None)
    prompt, last = list(range(_PROMPT)), _PROMPT - 1
    first = Replay(model, commitment, srs, prompt, [0]).argmax(last)
    assert first is not None  # the built-in model stays within its range
    rival = (first + 1) % model.config.vocabulary
    replay = Replay(model, commitment, srs, prompt, [first])

    def check(kind: str, statement: Statement, proof: bytes) -> None:
        verify(replay.system.verifying_key(kind), statement, proof)

    for kind in model.config.kinds:
        step = model.config.number_of(kind)
        check(kind, replay.step_statement(step, 1), replay.prove_step(step, 1))
    check("head", replay.head_statement(last, rival), replay.prove_head(last, rival))
    verify_embedding(replay.system.embedding_key, *replay.embedding_inputs(0), replay.prove_embedding(0))


@contextmanager
def _counting(report: Report) -> Iterator[set[str]]:
    """What Numba compiles meanwhile, by name; reported beside all kernels that there are."""
    from numba.core.event import Event, Listener, install_listener

    compiled: set[str] = set()

    class Counter(Listener):  # type: ignore[misc]
        def on_start(self, event: Event) -> None:
            pass

        def on_end(self, event: Event) -> None:
            function = event.data["dispatcher"].py_func
            compiled.add(f"{function.__module__}.{function.__qualname__}")
            report(STAGE, min(len(compiled), total - 1), total)

    total = len(all_kernels())
    report(STAGE, 0, total)
    with install_listener("numba:compile", Counter()):
        yield compiled
    report(STAGE, total, total)


def all_kernels() -> dict[str, Any]:
    """Every compiled function in the prover's modules that are imported, by its name."""
    from numba.core.dispatcher import Dispatcher

    modules = [module for name, module in list(sys.modules.items()) if name.startswith(f"{__package__}.")]
    return {
        f"{value.py_func.__module__}.{value.py_func.__qualname__}": value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Dispatcher)
    }
