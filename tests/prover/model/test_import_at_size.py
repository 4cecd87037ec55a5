"""A checkpoint is imported layer by layer: in bounded memory, checked before it is read, and whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from prover.model.errors import CheckpointError, MissingTensorError
from prover.model.hugging_face_import import import_hugging_face, opened_hugging_face
from prover.model.library import import_model
from prover.model.safetensors_file import SafetensorsCheckpoint

from .hugging_face_models import save_directory, seeded_model
from .test_import_sources import write_shards

LAYERS, HIDDEN, FEED_FORWARD, VOCABULARY = 10, 2048, 8192, 264
LARGEST_PEAK = """
import resource, sys
from pathlib import Path
from prover.model.library import import_model
import_model(Path(sys.argv[1]), name="large", models=Path(sys.argv[2]), calibration_tokens=32)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return save_directory(seeded_model("llama"), tmp_path / "model")


def sharded(directory: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(directory / "model.safetensors")
    write_shards(directory, tensors)
    (directory / "model.safetensors").unlink()
    return tensors


def test_layers_are_read_when_they_are_asked_for_and_not_kept(directory: Path) -> None:
    with opened_hugging_face(directory) as opened:
        whole = import_hugging_face(directory)
        assert len(opened.layers) == len(whole.layers) == 2
        assert opened.layers[-1]["w_up"] is not opened.layers[-1]["w_up"]
        for lazy, read in zip(opened.layers, whole.layers, strict=True):
            assert all((lazy[name] == values).all() for name, values in read.tensors.items())
        assert [len(layer.tensors) for layer in opened.layers[0:2]] == [9, 9]
        with pytest.raises(IndexError):
            opened.layers[2]


def test_a_wrong_shape_in_the_last_layer_is_found_before_any_layer_is_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = sharded(directory)
    tensors["model.layers.1.mlp.up_proj.weight"] = torch.ones(7, 64)
    write_shards(directory, tensors)
    read: list[str] = []
    original = SafetensorsCheckpoint.read

    def noted(self: SafetensorsCheckpoint, name: str, shape: tuple[int, ...]) -> object:
        read.append(name)
        return original(self, name, shape)

    monkeypatch.setattr(SafetensorsCheckpoint, "read", noted)
    with pytest.raises(
        CheckpointError, match=r"layers\.1\.mlp\.up_proj\.weight' has shape \(7, 64\).*config.json"
    ):
        import_hugging_face(directory)
    assert not any("layers." in name for name in read)


def test_a_tensor_that_no_shard_holds_is_named(directory: Path) -> None:
    tensors = sharded(directory)
    del tensors["model.layers.1.self_attn.k_proj.weight"]
    write_shards(directory, tensors)
    with pytest.raises(MissingTensorError, match=r"layers\.1\.self_attn\.k_proj\.weight"):
        import_hugging_face(directory)


def test_an_import_that_fails_on_the_way_leaves_nothing(directory: Path, tmp_path: Path) -> None:
    """Values are seen when their layer is read; the first layer has been quantised by then."""
    tensors = sharded(directory)
    tensors["model.layers.1.mlp.down_proj.weight"][3, 3] = float("nan")
    write_shards(directory, tensors)
    models = tmp_path / "models"
    with pytest.raises(CheckpointError, match=r"layers\.1\.mlp\.down_proj.*not finite"):
        import_model(directory, name="small", models=models)
    assert list(models.iterdir()) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_every_encoding_is_read_as_the_library_reads_it(directory: Path, dtype: torch.dtype) -> None:
    path = directory / "model.safetensors"
    tensors = {name: values.to(dtype) for name, values in load_file(path).items()}
    tensors["model.norm.weight"][:4] = torch.tensor([0.0, -0.0, 1e-7, -65504.0])
    save_file(tensors, path, metadata={"format": "pt"})
    with SafetensorsCheckpoint(directory) as file:
        for name, values in tensors.items():
            read = torch.from_numpy(file.read(name, tuple(values.shape)).copy())
            assert torch.equal(read, values.to(torch.float32)), name


@pytest.mark.long
def test_a_checkpoint_of_more_than_a_gigabyte_needs_a_quarter_of_it_and_two_gigabytes(
    directory: Path, tmp_path: Path
) -> None:
    size = _write_large(directory)
    assert size > 1.1e9
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", LARGEST_PEAK, str(directory), str(tmp_path / "models")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    peak = int(result.stdout.split()[-1])
    print(f"{size / 1e9:.2f} GB of weights, {peak / 1e9:.2f} GB of memory")
    assert peak < size / 4 + 2e9
    for path in tmp_path.rglob("*.safetensors"):
        path.unlink()


def _write_large(directory: Path) -> int:
    """Seeded bfloat16 weights of another shape in place of the small ones, a shard per layer; bytes of all shards."""
    (directory / "model.safetensors").unlink()
    facts = json.loads((directory / "config.json").read_text())
    facts |= {
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "head_dim": 64,
    }
    facts |= {
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 64,
        "dtype": "bfloat16",
    }
    (directory / "config.json").write_text(json.dumps(facts))
    draw = torch.Generator().manual_seed(5)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return torch.empty(rows, columns, dtype=torch.bfloat16).normal_(0, columns**-0.5, generator=draw)

    weight_map, total = {}, 0
    for layer in range(-1, LAYERS):
        ones = torch.ones(HIDDEN, dtype=torch.bfloat16)
        tensors = {"model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN), "model.norm.weight": ones}
        tensors |= {"lm_head.weight": matrix(VOCABULARY, HIDDEN)}
        if layer >= 0:
            shapes = {"self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN)}
            shapes |= {"self_attn.k_proj": (512, HIDDEN), "self_attn.v_proj": (512, HIDDEN)}
            shapes |= {"mlp.gate_proj": (FEED_FORWARD, HIDDEN), "mlp.up_proj": (FEED_FORWARD, HIDDEN)}
            shapes |= {"mlp.down_proj": (HIDDEN, FEED_FORWARD)}
            names = {f"model.layers.{layer}.{name}.weight": matrix(*shape) for name, shape in shapes.items()}
            norms = ("input_layernorm", "post_attention_layernorm")
            tensors = {**names, **{f"model.layers.{layer}.{name}.weight": ones.clone() for name in norms}}
        name = f"model-{layer + 2:05}-of-{LAYERS + 1:05}.safetensors"
        save_file(tensors, directory / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
        total += (directory / name).stat().st_size
    (directory / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )
    return total
