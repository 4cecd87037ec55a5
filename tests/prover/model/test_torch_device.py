"""A model run by torch gives the integers that it gives without: every family, alone, in company, checked again, and where it refuses."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from prover.model import word_gemm
from prover.model.batch import Batch, batch_in_memory, run_pass
from prover.model.devices import HOST_DEVICE, Device, open_device
from prover.model.errors import MissingDeviceError, MissingTorchError, TokenError, UnknownDeviceError
from prover.model.execute import Executor, Rows
from prover.model.library import BUILT_IN, load_model
from prover.model.row_blocks import RowBlocks
from prover.model.torch_device import TorchDevice
from prover.model.torch_products import BY, Digits, Floats
from prover.model.trace import Trace, traces
from prover.model.weights import IntegerModel
from prover.program import OutOfRange
from prover.sampling import SCALES, Sampling
from tests.prover.model.test_batch import LEAVERS, alone, leaver, requests, run_together
from tests.prover.model.test_tiles import tiled

FAMILIES = [name for name in BUILT_IN if name.startswith("tiny")]
_OFTEN = ("tiny", "tiny-deepseek-v3", "tiny-gemma3")
SOME = [pytest.param(name, marks=[] if name in _OFTEN else [pytest.mark.long]) for name in FAMILIES]
LENGTH = 70
"""Two windows and a part of one."""

CPU = torch.device("cpu")
DIGITS = TorchDevice(CPU, digits=True)
FLOATS = TorchDevice(CPU, digits=False)
AS_ON_CUDA = TorchDevice(CPU, digits=True, rows_by=BY)
KERNELS = {"digits": DIGITS, "floats": FLOATS, "padded digits": AS_ON_CUDA}


def ids_of(model: IntegerModel, length: int = LENGTH, seed: int = 0) -> list[int]:
    draw = random.Random(f"{model.name} {seed}")
    return [draw.randrange(model.config.vocabulary) for _ in range(length)]


Written = list[tuple[int, Rows]]


def generation(executor: Executor, prompt: list[int], tokens: int) -> tuple[list[int], Written]:
    """The ids, and everything that every step wrote."""
    seen: Written = []
    made = executor.generate(prompt, tokens, end_ids=(), on_step=lambda step, rows: seen.append((step, rows)))
    return made.ids, seen


@cache
def without_torch(family: str) -> tuple[list[int], Written]:
    model = load_model(family)
    return generation(Executor(model), ids_of(model), 5)


def assert_same(found: Written, expected: Written) -> None:
    assert [step for step, _ in found] == [step for step, _ in expected]
    for (step, rows), (_, right) in zip(found, expected, strict=True):
        assert rows.keys() == right.keys()
        for name, values in rows.items():
            assert values.dtype == right[name].dtype == np.int64
            np.testing.assert_array_equal(values, right[name], err_msg=f"{name} of step {step}")


@pytest.mark.parametrize(
    ("family", "kernel"),
    [(family, "digits") for family in FAMILIES]
    + [(family, kernel) for family in _OFTEN for kernel in ("floats", "padded digits")],
)
def test_every_step_of_every_family_writes_the_same(family: str, kernel: str) -> None:
    """A prompt over two windows, five tokens, and the padded rows of the last window."""
    model = load_model(family)
    ids, written = generation(Executor(model, device=KERNELS[kernel]), ids_of(model), 5)
    expected_ids, expected = without_torch(family)
    assert ids == expected_ids
    assert_same(written, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_is_checked_alike(family: str) -> None:
    """In one pass: nothing is wrong, or the token that was changed; so are rows fed one by one, and logits."""
    model, (ids, _) = load_model(family), without_torch(family)
    here, there = Executor(model), Executor(model, device=DIGITS)
    prompt = ids_of(model)
    assert there.replay(prompt, ids) is None
    wrong = [*ids[:3], (ids[3] + 1) % model.config.vocabulary, *ids[4:]]
    assert there.replay(prompt, wrong) == 3
    decoding, text = there.start(), prompt[:34]
    pieces = [there.feed([token], decoding) for token in text[:3]] + [there.feed(text[3:], decoding)]
    rows = here.feed(text, here.start())
    np.testing.assert_array_equal(np.concatenate(pieces), rows)
    np.testing.assert_array_equal(there.logits(rows), here.logits(rows))
    np.testing.assert_array_equal(there.largest(rows, np.arange(34)), here.logits(rows).argmax(1))


@pytest.mark.parametrize("family", SOME)
def test_sampled_answers_are_the_same(family: str) -> None:
    model, rule = load_model(family), Sampling(900, 77, 40)
    if model.logit_scale not in SCALES:
        pytest.skip("no rule takes this model's logits")
    prompt = ids_of(model)[:9]
    here, there = (Executor(model, device=device) for device in (HOST_DEVICE, DIGITS))
    ids = here.generate(prompt, 12, end_ids=(), sampling=rule).ids
    assert there.generate(prompt, 12, end_ids=(), sampling=rule).ids == ids
    assert there.replay(prompt, ids, rule) is None


@pytest.mark.parametrize("family", SOME)
def test_company_changes_nothing(family: str) -> None:
    """Random joins, leaves, pieces, shared beginnings, sampling, and rows that leave their range, beside each alone without torch."""
    without, draw = leaver(family), random.Random(family)
    wanted = requests(without, draw, 10)
    expected = [alone(without, request) for request in wanted]
    executor = Executor(without.model, device=DIGITS)
    batch = Batch(executor, RowBlocks(20, without.model.config.layers, executor.arrays))
    ended = run_together(batch, wanted, draw)
    for request, right in zip(wanted, expected, strict=True):
        found = ended[id(request)]
        if isinstance(right, Exception):
            assert str(found.failure) == str(right)
        else:
            assert found.result == right
    assert batch.blocks.available == 20 and batch.reused_rows > 0


def test_a_batch_in_memory_keeps_its_rows_on_the_device() -> None:
    executor = Executor(load_model("tiny"), device=DIGITS)
    blocks = batch_in_memory(executor, 1 << 20, 2).blocks
    assert isinstance(blocks.pool(0, "keys", 2, 16), torch.Tensor)


@pytest.mark.parametrize("family", SOME)
def test_what_leaves_its_range_is_refused_alike(family: str) -> None:
    """Tensor, position, value and words of the error; and the windows that a trace still knows, alone and with others."""
    if family == "tiny-olmo2":
        pytest.skip("no row of this family leaves its range: a norm stands in front of every matrix")
    without = leaver(family)
    executor = Executor(without.model, device=DIGITS)
    for token in LEAVERS:
        text = [40 + (7 * position) % 90 for position in range(66)]
        text[45] = token
        with pytest.raises(OutOfRange) as expected:
            without.feed(text, without.start())
        with pytest.raises(OutOfRange) as found:
            executor.feed(text, executor.start())
        assert str(found.value) == str(expected.value) and found.value.rows == expected.value.rows
        right = Trace(without, text).refusal
        together = traces(executor, [text[:40], text])
        assert right is not None and together[0].refusal is None
        for trace in (Trace(executor, text), together[1]):
            assert trace.refusal is not None
            assert (trace.refusal.step, trace.refusal.window) == (right.step, right.window)
            assert str(trace.refusal.error) == str(right.error)


@pytest.mark.parametrize(("family", "size"), [("llama", 800), ("gemma3", 800), ("gpt2", 700)])
def test_tiles_give_the_same(family: str, size: int) -> None:
    """Partial sums, runs of groups that the model does not have, and last tiles with zeros behind them."""
    model = tiled(family, size)
    text = ids_of(model, 40)
    right, found = Trace(Executor(model), text), Trace(Executor(model, device=DIGITS), text)
    for index in range(len(model.config.schedule) + 1):
        np.testing.assert_array_equal(found.stream(index), right.stream(index))
    step = next(n for n, s in enumerate(model.config.schedule) if s.kind == "mlp_tile" and s.tile == 1) + 1
    np.testing.assert_array_equal(found.stream(step, "sum"), right.stream(step, "sum"))


# --- one hash over many runs ---------------------------------------------------------------------------------------


def _hash(executors: Callable[[str], Executor], runs: int, seed: int) -> str:
    """Of ids and last rows of `runs` sequences, drawn from a seed over the families: greedy or sampled, alone or two together."""
    draw, digest = random.Random(seed), hashlib.sha256()
    for _ in range(runs):
        executor = executors(draw.choice(FAMILIES))
        model = executor.model
        prompt = [draw.randrange(model.config.vocabulary) for _ in range(draw.randrange(1, 60))]
        tokens, key = draw.randrange(1, 4), draw.randrange(1 << 60)
        sampled = draw.random() < 0.3 and model.logit_scale in SCALES
        rule = Sampling(800, key, 50) if sampled else None
        other = [draw.randrange(model.config.vocabulary) for _ in range(draw.randrange(1, 40))]
        try:
            ids = executor.generate(prompt, tokens, end_ids=(), sampling=rule).ids
            pieces = [executor.embed([*prompt, *ids]), executor.embed(other)]
            rows = [outcome.rows for outcome in run_pass(executor, pieces, [0, 0])]
            known = [b"-" if some is None else some[-1].astype("<i8").tobytes() for some in rows]
            digest.update(repr(ids).encode() + b"".join(known))
        except OutOfRange as error:
            digest.update(str(error).encode())
    return digest.hexdigest()


def _executors(device: Device) -> Callable[[str], Executor]:
    return cache(lambda family: Executor(load_model(family), device=device))


@pytest.mark.parametrize(
    ("runs", "seed"),
    [(26, 1), *(pytest.param(500, 100 + part, marks=pytest.mark.long) for part in range(20))],
)
def test_one_hash_over_many_runs_by_every_kernel(
    runs: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words where the CPU has them, float64 by Numba and BLAS, and torch by digits, padded digits and floats: 10,000 runs when long."""
    found = {"this machine's": _hash(_executors(HOST_DEVICE), runs, seed)}
    for name, device in KERNELS.items():
        found[f"torch, {name}"] = _hash(_executors(device), runs, seed)
    monkeypatch.setattr(word_gemm, "AVAILABLE", False)
    found["portable"] = _hash(_executors(HOST_DEVICE), runs, seed)
    assert len(set(found.values())) == 1, found


def test_another_seed_has_another_hash() -> None:
    executors = _executors(HOST_DEVICE)
    assert len({_hash(executors, 3, seed) for seed in (1, 2)}) == 2


# --- what cannot be -------------------------------------------------------------------------------------------------


def test_a_pass_without_rows_is_refused() -> None:
    executor = Executor(load_model("tiny"), device=DIGITS)
    for pieces in ([], [executor.embed([1, 2]), executor.embed([])]):
        with pytest.raises(TokenError, match="leave out sequences that have none"):
            run_pass(executor, pieces, [0] * len(pieces))


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "cpu:0", "CPU", "cpu "])
def test_a_name_that_no_device_has_is_refused(name: str) -> None:
    with pytest.raises(UnknownDeviceError, match="say cpu, cuda or cuda:N") as refused:
        open_device(name)
    assert refused.value.exit_code == 2 and repr(name) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "count", "found"),
    [
        ("cuda", 0, "finds no CUDA device;"),
        ("cuda:1", 1, "finds one CUDA device, cuda:0;"),
        ("cuda:2", 2, "finds CUDA devices 0 to 1;"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    name: str, count: int, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(MissingDeviceError, match=found) as refused:
        open_device(name)
    assert refused.value.exit_code == 7
    assert f"device {name} is not there: torch {torch.__version__}" in str(refused.value)


@pytest.mark.parametrize("fault", ["wrong", "unsupported"])
def test_a_kernel_that_is_not_exact_is_not_taken(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries gave wrong sums in some shapes, silently, or refuse some: products go through float64 then."""
    right, weights = torch._int_mm, np.ones((3, 4), dtype=np.int16)

    def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if len(a) >= 33:
            if fault == "unsupported":
                raise RuntimeError("CUBLAS_STATUS_NOT_SUPPORTED")
            return right(a, b) + 1
        return right(a, b)

    monkeypatch.setattr("prover.model.torch_device.AVAILABLE", True)
    assert isinstance(TorchDevice.open("cpu").matrix(weights), Digits)
    monkeypatch.setattr(torch, "_int_mm", product)
    assert isinstance(TorchDevice.open("cpu").matrix(weights), Floats)
    monkeypatch.setattr(torch, "_int_mm", right)
    monkeypatch.setattr("prover.model.torch_device.AVAILABLE", False)
    assert isinstance(TorchDevice.open("cpu").matrix(weights), Floats)


_BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "torch" or name.startswith("torch."):
            raise ModuleNotFoundError(f"No module named {name!r}", name="torch")
sys.meta_path.insert(0, Blocker())
from prover.model.devices import open_device
from prover.model.execute import Executor
from prover.model.library import load_model
print(len(Executor(load_model("tiny"), device=open_device(None)).generate([1, 2, 3], 2, end_ids=()).ids))
try:
    open_device("cuda")
except Exception as error:
    print(type(error).__name__, error.exit_code, error)
"""


def test_without_torch_a_model_runs_and_a_device_is_refused() -> None:
    lines = subprocess.check_output([sys.executable, "-c", _BLOCKED], text=True).splitlines()
    assert lines == ["2", f"MissingTorchError 7 {MissingTorchError('cuda')}"]
    assert "pip install 'gainsay[torch]'" in lines[1]


def test_torch_stays_out_of_a_process_that_names_no_device() -> None:
    """A model is loaded, run, checked and traced, as provider and challenger do."""
    code = (
        "import sys, node.provider, challenger.startup;"
        "from prover.model.library import load_model; from prover.replay import Replay;"
        "from prover.model.execute import Executor; from prover.model.trace import Trace;"
        "from prover.model.devices import open_device;"
        "model = load_model('tiny'); executor = Executor(model, device=open_device(None));"
        "ids = executor.generate([1, 2, 3], 2, end_ids=()).ids; Trace(executor, [1, 2, 3, *ids]);"
        "print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
