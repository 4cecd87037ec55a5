"""Rows that proofs contain and no text has: padded ones are run before anything is committed, and others do not exist."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from prover.architectures.config import index_bits
from prover.check import check
from prover.curve.srs import SRS
from prover.model.calibrate import calibration_sequences, observe
from prover.model.cli import app
from prover.model.errors import (
    GenerationCancelledError,
    ModelFileError,
    UnsupportedModelError,
)
from prover.model.execute import Executor
from prover.model.facts import provable_positions
from prover.model.float_model import FloatLayer, FloatModel
from prover.model.library import BUILT_IN, built_in_model, import_model, load_model
from prover.model.trace import Trace
from prover.model.weights import MANIFEST, IntegerModel, load, save
from prover.model_commitment import commit_model
from prover.program import WINDOW_ROWS, OutOfRange
from prover.replay import Replay
from prover.tables import LARGEST_TABLE_BITS

from .cancelled_biases import (
    llama_with_padded_rows_out_of_range,
    qwen2_with_empty_rows_out_of_range,
)
from .hugging_face_models import save_directory, seeded_model

TINY_MODELS = [name for name in BUILT_IN if name.startswith("tiny")]
_SIMILAR = ("tiny-qwen3", "tiny-smollm3", "tiny-phi3", "tiny-granite", "tiny-qwen3-moe")
"""In the long tests: padded rows pass through operators that they pass through in another family, too."""


def ids(length: int, seed: int = 5) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(0, 256, length)]


# --- rows of the context behind the last window ----------------------------------------------------------------


@pytest.fixture(scope="module")
def biased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_directory(qwen2_with_empty_rows_out_of_range(), tmp_path_factory.mktemp("qwen") / "biased")


def test_rows_behind_the_last_window_are_nobodys(biased: Path, tmp_path: Path) -> None:
    """A key of an empty row would leave its range. No proof has one: those rows of the stream were never written."""
    model = import_model(biased, name="biased", models=tmp_path, calibration_tokens=40)
    text = [*ids(70), *Executor(model).generate(ids(70), 5, end_ids=()).ids]
    trace = Trace(model, text[:-1])
    assert trace.refusal is None and trace.windows == 3
    replay = Replay(model, commit_model(model, SRS.devnet(18), cache_dir=None), SRS.devnet(18), ids(70), [1])
    for window in (1, 2):
        for kind in model.config.kinds:
            step, program = model.config.number_of(kind, 1), model.config.programs[kind]
            context_bits = 5 + window.bit_length() if program.has_context else 5
            publics = {"window": window} if "window" in program.public_scalars else {}
            parameters = model.layer_parameters(1, kind)
            tensors = replay.step_tensors(step, window, context_bits)
            if program.has_context:
                assert not tensors["keys"][32 * (window + 1) :].any()
            witness = program.witness(tensors, parameters, publics, context_bits)
            assert check(program, witness, parameters, publics, context_bits) == []


# --- padded rows of the last window -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drowned() -> IntegerModel:
    return IntegerModel.from_float(llama_with_padded_rows_out_of_range())


@pytest.mark.parametrize("length", [1, 27, 29, 31, 60])
def test_an_answer_whose_padded_rows_leave_their_range_is_refused(drowned: IntegerModel, length: int) -> None:
    """And all of its tokens were in range: the first padded row is named."""
    produced: list[int] = []
    fed = length + 2
    with pytest.raises(OutOfRange, match=f"gate of layer 0 at position {fed} has") as refused:
        Executor(drowned).generate(ids(length), 3, end_ids=(), on_token=produced.append)
    assert refused.value.position == fed and len(produced) == 3
    refusal = Trace(drowned, [*ids(length), *produced[:-1]]).refusal
    assert refusal is not None and (refusal.step, refusal.window) == (2, fed // WINDOW_ROWS)


@pytest.mark.parametrize("length", [30, 62])
def test_an_answer_that_fills_its_window_has_none(drowned: IntegerModel, length: int) -> None:
    answer = Executor(drowned).generate(ids(length), 3, end_ids=())
    assert Trace(drowned, [*ids(length), *answer.ids[:-1]]).refusal is None


def test_an_end_token_is_followed_by_padded_rows(drowned: IntegerModel) -> None:
    first = Executor(drowned).generate(ids(32), 1).ids[0]
    assert Executor(drowned).generate(ids(32), 9, end_ids=(first,)).finish_reason == "stop"
    with pytest.raises(OutOfRange):
        Executor(drowned).generate(ids(31), 9, end_ids=range(drowned.config.vocabulary))


def test_padded_rows_can_be_cancelled(model: IntegerModel) -> None:
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 6  # the six steps of the text, then those of the padded rows

    with pytest.raises(GenerationCancelledError):
        Executor(model).generate(ids(5), 1, cancelled=cancelled)
    assert len(asked) == 7


def test_calibration_runs_padded_rows(drowned: IntegerModel, model: IntegerModel) -> None:
    with pytest.raises(OutOfRange, match="gate of layer 0 at position 5"):
        observe(drowned, [ids(5)])
    observe(drowned, [ids(32)])
    padded = {(o.tensor, o.layer): o.largest for o in observe(model, [ids(5)])}
    rows: dict[tuple[str, int], int] = {}

    def record(layer: int, tensors: dict[str, np.ndarray]) -> None:
        for name in {"gate", "up", "value"} & set(tensors):
            rows[name, layer] = int(np.abs(tensors[name]).max())

    Trace(Executor(model, record), ids(5))
    assert {key: padded[key] for key in rows} == rows


def _inflated(name: str, seed: int) -> FloatModel:
    """Random factors that bring many answers near the ends of their ranges, or over them."""
    model, generator = built_in_model(name), np.random.default_rng(seed)
    layers = []
    for layer in model.layers:
        tensors = {
            tensor: array * np.float32(2.0 ** generator.integers(0, 1 + seed % 5))
            if tensor.startswith("w_")
            else array
            for tensor, array in layer.tensors.items()
        }
        layers.append(FloatLayer(tensors))
    return replace(model, layers=layers)


@cache
def _outcomes(name: str, seeds: int) -> tuple[int, int]:
    """(accepted, refused) answers of models that often leave their ranges; each accepted one is traced."""
    accepted = refused = 0
    for seed in range(seeds):
        generator = np.random.default_rng(100 + seed)
        executor = Executor(IntegerModel.from_float(_inflated(name, seed)))
        for _ in range(6):
            prompt = ids(int(generator.integers(1, 70)), int(generator.integers(1 << 30)))
            try:
                answer = executor.generate(prompt, int(generator.integers(1, 5)), end_ids=())
            except OutOfRange:
                refused += 1
                continue
            accepted += 1
            trace = Trace(executor, [*prompt, *answer.ids[:-1]])
            assert trace.refusal is None and len(trace.stream(0)) % WINDOW_ROWS == 0
    return accepted, refused


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in _SIMILAR else ()) for name in TINY_MODELS]
)
def test_whatever_generate_accepts_can_be_traced(name: str) -> None:
    accepted, refused = _outcomes(name, 6)
    assert accepted > 3 and refused > 3, (accepted, refused)


@pytest.mark.long
@pytest.mark.parametrize("name", TINY_MODELS)
def test_whatever_generate_accepts_can_be_traced_at_length(name: str) -> None:
    accepted, refused = _outcomes(name, 80)
    assert accepted > 60 and refused > 60


# --- whole windows of positions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("stated", "served"), [(32, 32), (100, 96), (4095, 4064), (131_072, 16_384)])
def test_positions_are_whole_windows(stated: int, served: int) -> None:
    assert provable_positions(stated) == served


@pytest.mark.parametrize(("size", "served"), [(80, 16_384), (128, 16_384), (129, 8192), (256, 8192)])
def test_a_table_of_wide_heads_ends_the_positions(size: int, served: int) -> None:
    """Gemma 3's have 256 channels: a model of 16,384 positions could be imported, and not committed to."""
    assert provable_positions(32_768, size) == served
    assert 2 * served << index_bits(size) <= 1 << LARGEST_TABLE_BITS


@pytest.mark.parametrize("stated", [0, 1, 31])
def test_less_than_a_window_is_refused(stated: int) -> None:
    with pytest.raises(UnsupportedModelError, match=f"a context of {stated} positions .*one window of 32"):
        provable_positions(stated)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_what_is_served_of_an_odd_context_can_be_traced(family: str, tmp_path: Path) -> None:

    model = seeded_model(family)
    if family == "gpt2":
        model.config.n_positions = 100
        model.transformer.wpe.weight.data = model.transformer.wpe.weight.data[:100].clone()
    else:
        model.config.max_position_embeddings = 100
    directory = save_directory(model, tmp_path / "odd")
    imported = import_model(directory, name="odd", models=tmp_path / "models", calibration_tokens=40)
    assert imported.config.max_positions == 96
    answer = Executor(imported).generate(ids(95), 2, end_ids=())
    assert Trace(imported, [*ids(95), answer.ids[0]]).windows == 3
    shown = CliRunner().invoke(app, ["inspect", "odd", "--models", str(tmp_path / "models"), "--json"]).stdout
    assert (json.loads(shown)["max_positions"], json.loads(shown)["windows"]) == (96, 3)


def test_a_saved_model_of_an_odd_context_is_refused(model: IntegerModel, tmp_path: Path) -> None:
    directory = save(model, tmp_path / "odd")
    manifest = json.loads((directory / MANIFEST).read_text())
    manifest["config"]["max_positions"] = 100
    (directory / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelFileError, match=r"100 positions are no whole windows of 32 rows.*take 96"):
        load(directory)


def test_calibration_sequences_leave_room_for_padding() -> None:
    model = load_model("tiny")
    observe(model, calibration_sequences(model, 250))
