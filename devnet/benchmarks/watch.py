"""Verdicts per second of a challenger beside answers per second of a provider, of the same model on the same machine.

Two processes in turn, never at the same time: each has the whole machine, as "equal hardware" means. The provider's part is the executor's
continuous batch; the challenger's is its judge over a store in memory, without a chain: whatever it does per response is done.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from challenger.judging import Judge
from challenger.local_models import LocalModel, load_local_model
from challenger.policies import ticket_of
from challenger.store import BatchRow, ResponseRow, Store, open_engine
from challenger.tables import encode_fields
from contracts.bindings.log_reader import Cursor
from contracts.protocol.response import ResponseFields
from contracts.protocol.token_ids import pack_token_ids
from prover.model.batch import Request, batch_in_memory
from prover.model.execute import Executor
from prover.model.library import load_model

from .load import a_prompt

_AT_ONCE = 32
_MEMORY = 1 << 30
_MODEL_ID = b"m" * 32
_ARITY = 8


def measure_watching(
    name: str, models: Path, commitments: Path, answers: int, prompt: int, tokens: int
) -> dict[str, Any]:
    """Seconds of all threads and by the clock to generate `answers` answers, 32 at a time, and to judge all of them.

    `verdicts_per_answer` above 1: the challenger keeps up with such a provider at policy `all` on equal hardware, by the clock and
    (`…_by_cpu`) by processor seconds.
    """
    executor = Executor(load_model(name, models=models))
    draw = random.Random(1)
    prompts = [a_prompt(draw, prompt) for _ in range(answers)]
    executor.generate(prompts[0], 2, end_ids=())
    outputs: dict[int, list[int]] = {}
    clock, cpu = time.perf_counter(), time.process_time()
    batch = batch_in_memory(executor, _MEMORY, _AT_ONCE)
    waiting, numbers = list(enumerate(prompts)), {}
    while waiting or batch.running:
        while waiting and len(batch.running) < _AT_ONCE:
            number, ids = waiting.pop()
            sequence = batch.admit(Request(ids, tokens))
            assert sequence is not None  # 32 short sequences fit a gigabyte, or one does
            numbers[id(sequence)] = number
        for sequence in batch.step(256):
            if sequence.result is not None:
                outputs[numbers[id(sequence)]] = sequence.result.ids
    provider_s, provider_cpu_s = time.perf_counter() - clock, time.process_time() - cpu

    model = load_local_model(name, models=models, commitments=commitments)
    store = _store_of(
        [ResponseFields.of(prompts[number], output, tokens, 0) for number, output in outputs.items()],
        [(prompts[number], output) for number, output in outputs.items()],
    )
    model.replay([1] * 3, [1], None).first_unprovable()  # kernels and tables are warm, as the provider's were
    judge = Judge(store, _Only(model), _ARITY, lambda: 0, 0, lambda *_: None)
    clock, cpu = time.perf_counter(), time.process_time()
    while judge.step():
        pass
    judged_s, judged_cpu_s = time.perf_counter() - clock, time.process_time() - cpu
    valid = sum(row.state == "valid" for row, _ in store.all_responses())
    return {
        "model": name,
        "answers": len(outputs),
        "valid": valid,
        "answers_per_s": round(len(outputs) / provider_s, 2),
        "verdicts_per_s": round(len(outputs) / judged_s, 2),
        "verdicts_per_answer": round(provider_s / judged_s, 2),
        "answer_cpu_s": round(provider_cpu_s / len(outputs), 4),
        "verdict_cpu_s": round(judged_cpu_s / len(outputs), 4),
        "verdicts_per_answer_by_cpu": round(provider_cpu_s / judged_cpu_s, 2),
    }


class _Only:
    """One model under one id."""

    def __init__(self, model: LocalModel) -> None:
        self._model = model

    def find(self, model_id: bytes) -> LocalModel | None:
        return self._model if model_id == _MODEL_ID else None


def _store_of(fields: list[ResponseFields], ids: list[tuple[list[int], list[int]]]) -> Store:
    """Responses that wait for a verdict, in one batch of one provider."""
    store = Store(open_engine(None))
    secret = store.secret()
    batch = BatchRow(
        batch_id=1,
        block_number=1,
        provider="0xprovider",
        model_id=_MODEL_ID,
        root=bytes(32),
        salt=bytes(32),
        count=len(fields),
        deadline=1 << 40,
    )
    store.advance(Cursor(1, bytes(32)), None, [batch], {})
    rows = []
    for index, (known, (prompt, output)) in enumerate(zip(fields, ids, strict=True)):
        leaf = index.to_bytes(32, "big")
        rows.append(
            ResponseRow(
                batch_id=1,
                index=index,
                provider=batch.provider,
                model_id=_MODEL_ID,
                deadline=batch.deadline,
                positions=known.positions,
                ticket=ticket_of(leaf, secret),
                leaf=leaf,
                fields_json=encode_fields(known),
                path_nodes=b"",
                prompt_packed=pack_token_ids(prompt),
                output_packed=pack_token_ids(output),
                output_hash=known.output_hash,
                prompt_hash=known.prompt_hash,
            )
        )
    store.add_responses(batch, rows)
    return store
