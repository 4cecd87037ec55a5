"""A checkpoint is imported layer by layer: in bounded memory, checked before it is read, and whole or not at all."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from prover.model.errors import CheckpointError, MissingTensorError
from prover.model.hugging_face_import import import_hugging_face, opened_hugging_face
from prover.model.library import import_model
from prover.model.safetensors_file import SafetensorsCheckpoint

from .hugging_face_models import gguf_metadata_of, save_directory, seeded_model
from .test_import_sources import write_shards

VOCABULARY = 264
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
@pytest.mark.parametrize("kind", ["llama", "qwen3-moe-plain", "a GGUF of it"])
def test_a_checkpoint_of_gigabytes_needs_a_quarter_of_it_and_two_gigabytes(kind: str, tmp_path: Path) -> None:
    """In a process of its own; of the mixture, an expert is read and quantised at a time."""
    if kind == "a GGUF of it":
        source = write_large_gguf(tmp_path / "large.gguf")
        size = source.stat().st_size
    else:
        source = save_directory(seeded_model(kind), tmp_path / "model")
        size = write_large(source, MIXTURE if kind == "qwen3-moe-plain" else DENSE)
    assert size > 1.1e9
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", LARGEST_PEAK, str(source), str(tmp_path / "models")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    peak = int(result.stdout.split()[-1])
    print(f"{size / 1e9:.2f} GB of weights, {peak / 1e9:.2f} GB of memory")
    assert peak < size / 4 + 2e9
    for path in (*tmp_path.rglob("*.safetensors"), *tmp_path.rglob("*.gguf")):
        path.unlink()


DENSE: dict[str, Any] = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 10,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "max_position_embeddings": 64,
}
MIXTURE = DENSE | {
    "num_hidden_layers": 2,
    "moe_intermediate_size": 768,
    "num_experts": 64,
    "num_local_experts": 64,
    "num_experts_per_tok": 8,
}
"""Two layers of half as many experts as Qwen 3 30B has, of their shape."""


def shapes_of_layer(facts: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Stored matrices of a layer."""
    hidden, head_size = facts["hidden_size"], facts["head_dim"]
    wide, narrow = facts["num_attention_heads"] * head_size, facts["num_key_value_heads"] * head_size
    shapes = {"self_attn.q_proj": (wide, hidden), "self_attn.o_proj": (hidden, wide)}
    shapes |= {f"self_attn.{name}_proj": (narrow, hidden) for name in "kv"}
    places = ["mlp"]
    if "num_experts" in facts:
        shapes["mlp.gate"] = (facts["num_experts"], hidden)
        places = [f"mlp.experts.{expert}" for expert in range(facts["num_experts"])]
    size = facts.get("moe_intermediate_size", facts["intermediate_size"])
    for place in places:
        shapes |= {f"{place}.{name}_proj": (size, hidden) for name in ("gate", "up")}
        shapes[f"{place}.down_proj"] = (hidden, size)
    return shapes


def write_large(directory: Path, sizes: dict[str, Any]) -> int:
    """Seeded bfloat16 weights of another shape in place of the small ones, a shard per layer; bytes of all shards."""
    (directory / "model.safetensors").unlink()
    facts = json.loads((directory / "config.json").read_text()) | sizes | {"dtype": "bfloat16"}
    (directory / "config.json").write_text(json.dumps(facts))
    draw, hidden = torch.Generator().manual_seed(5), facts["hidden_size"]

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return torch.empty(rows, columns, dtype=torch.bfloat16).normal_(0, columns**-0.5, generator=draw)

    norms = {"input_layernorm": hidden, "post_attention_layernorm": hidden}
    if "num_experts" in sizes:
        norms |= {"self_attn.q_norm": facts["head_dim"], "self_attn.k_norm": facts["head_dim"]}
    weight_map, total = {}, 0
    for layer in range(-1, facts["num_hidden_layers"]):
        ones = torch.ones(hidden, dtype=torch.bfloat16)
        tensors = {"model.embed_tokens.weight": matrix(VOCABULARY, hidden), "model.norm.weight": ones}
        tensors |= {"lm_head.weight": matrix(VOCABULARY, hidden)}
        if layer >= 0:
            place = f"model.layers.{layer}"
            tensors = {
                f"{place}.{name}.weight": matrix(*shape) for name, shape in shapes_of_layer(facts).items()
            }
            tensors |= {
                f"{place}.{name}.weight": torch.ones(size, dtype=torch.bfloat16)
                for name, size in norms.items()
            }
        name = f"model-{layer + 2:05}-of-{facts['num_hidden_layers'] + 1:05}.safetensors"
        save_file(tensors, directory / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
        total += (directory / name).stat().st_size
    (directory / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )
    return total


def write_large_gguf(path: Path) -> Path:
    """The same shape of mixture, all experts of a layer in one tensor; one tensor is drawn at a time."""
    small = seeded_model("qwen3-moe-plain")
    for name, value in MIXTURE.items():
        setattr(small.config, name, value)
    hidden, size, experts = (
        MIXTURE[name] for name in ("hidden_size", "moe_intermediate_size", "num_experts")
    )
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd": (VOCABULARY, hidden),
        "output": (VOCABULARY, hidden),
        "output_norm": (hidden,),
    }
    attention = shapes_of_layer({**MIXTURE, "num_experts": 0})
    for layer in range(MIXTURE["num_hidden_layers"]):
        for name, stored in {"q": "q", "k": "k", "v": "v", "o": "output"}.items():
            shapes[f"blk.{layer}.attn_{stored}"] = attention[f"self_attn.{name}_proj"]
        shapes[f"blk.{layer}.ffn_gate_inp"] = (experts, hidden)
        shapes |= {f"blk.{layer}.ffn_{name}_exps": (experts, size, hidden) for name in ("gate", "up")}
        shapes[f"blk.{layer}.ffn_down_exps"] = (experts, hidden, size)
        shapes |= {f"blk.{layer}.{name}_norm": (hidden,) for name in ("attn", "ffn")}
        shapes |= {f"blk.{layer}.attn_{name}_norm": (MIXTURE["head_dim"],) for name in "qk"}
    writer = gguf_metadata_of(small, "qwen3-moe-plain", path)
    bfloat16, eight_bits = gguf.GGMLQuantizationType.BF16, np.dtype(np.uint8)
    for name, shape in shapes.items():
        stored_bytes = (*shape[:-1], 2 * shape[-1])
        writer.add_tensor_info(
            f"{name}.weight", stored_bytes, eight_bits, 2 * math.prod(shape), raw_dtype=bfloat16
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    draw = np.random.default_rng(5)
    for shape in shapes.values():
        values = draw.standard_normal(shape, dtype=np.float32) * np.float32(shape[-1] ** -0.5)
        if len(shape) == 1:
            values = np.ones(shape, dtype=np.float32)
        writer.write_tensor_data(gguf.quants.quantize(values, bfloat16))
    writer.close()
    return path
