"""DeepSeek V3 from a Hugging Face directory: what its options mean, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from prover.architectures.config import STEP_WEIGHTS, Arrangement, MatrixRule
from prover.architectures.deepseek_v3 import DeepseekV3Config
from prover.model.checkpoint import tensor_shape
from prover.model.errors import CheckpointError, MissingTensorError, UnsupportedModelError
from prover.model.execute import Executor
from prover.model.float_reference import float_logits
from prover.model.hugging_face_import import hugging_face_config, import_hugging_face
from prover.model.library import load_model
from prover.model.quantise import quantise
from prover.model.trace import Trace
from prover.plan import Plan

from .hugging_face_models import logits, random_ids, save_directory, seeded_model
from .test_experts import restate, tiled

IDS = [(7 * index) % 256 for index in range(40)]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_directory(seeded_model("deepseek-v3"), tmp_path_factory.mktemp("deepseek"))


@pytest.fixture
def copied(directory: Path, tmp_path: Path) -> Path:
    for file in directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"attention_bias": True}, "attention_bias = True"),
    ({"norm_topk_prob": False}, "norm_topk_prob = False"),
    ({"num_key_value_heads": 2}, "num_key_value_heads = 2 for 4 heads"),
    ({"hidden_act": "gelu"}, "activation 'gelu'"),
    ({"routed_scaling_factor": 4.0}, "routed_scaling_factor = 4"),
    ({"topk_group": 4}, "topk_group = 4 of 3 groups"),
    ({"n_group": 4, "topk_group": 3}, "a group must have a power of two"),
    ({"topk_group": 1, "num_experts_per_tok": 5}, "1 groups of 4 experts do not have the 5"),
    ({"first_k_dense_replace": 3}, "3 dense layers of 3"),
    ({"num_experts_per_tok": 13, "topk_group": 3}, "13 of 12 entries"),
    ({"scoring_func": "softmax"}, "scoring_func = 'softmax'"),
    ({"topk_method": "greedy"}, "topk_method = 'greedy'"),
    ({"moe_layer_freq": 2}, "moe_layer_freq = 2"),
    ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config"),
]


@pytest.mark.parametrize(("change", "named"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_not_expressed_is_refused_by_name(copied: Path, change: dict[str, Any], named: str) -> None:
    restate(copied, **change)
    with pytest.raises(UnsupportedModelError, match=named):
        import_hugging_face(copied)


@pytest.mark.parametrize(
    "change",
    [{"rope_interleave": None}, {"n_shared_experts": 0}, {"q_lora_rank": 0}, {"first_k_dense_replace": -1}],
)
def test_settings_that_mean_nothing_are_named(copied: Path, change: dict[str, Any]) -> None:
    restate(copied, **change)
    with pytest.raises(CheckpointError, match=next(iter(change))):
        import_hugging_face(copied)


def test_a_missing_latent_is_named(copied: Path) -> None:
    tensors = load_file(copied / "model.safetensors")
    del tensors["model.layers.1.self_attn.kv_b_proj.weight"]
    save_file(tensors, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingTensorError, match=r"layers\.1\.self_attn\.kv_b_proj"):
        import_hugging_face(copied)


@pytest.mark.parametrize("layer", [0, 3])
def test_tensors_of_layers_that_have_no_such_step_are_refused(copied: Path, layer: int) -> None:
    """A router of a dense layer; a layer beyond the last one, such as those that guess further tokens."""
    tensors = load_file(copied / "model.safetensors")
    tensors[f"model.layers.{layer}.mlp.gate.weight"] = tensors["model.layers.1.mlp.gate.weight"]
    save_file(tensors, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnsupportedModelError, match=rf"layers\.{layer}\.mlp\.gate"):
        import_hugging_face(copied)


def test_tensors_lie_where_the_programs_want_them(directory: Path) -> None:
    tensors = {
        name.removeprefix("model."): v for name, v in load_file(directory / "model.safetensors").items()
    }
    model = import_hugging_face(directory)
    layer, place = model.layers[1], "layers.1.self_attn."
    in_heads = tensors[f"{place}q_b_proj.weight"].reshape(4, 24, 24)
    assert np.array_equal(layer["w_query"].reshape(4, 16, 24), in_heads[:, :16])
    assert np.array_equal(layer["w_query_rope"].reshape(4, 8, 24), in_heads[:, 16:])
    in_heads = tensors[f"{place}kv_b_proj.weight"].reshape(4, 28, 20)
    assert np.array_equal(layer["w_key_up"].reshape(4, 16, 20), in_heads[:, :16])
    assert np.array_equal(layer["w_value_up"].reshape(4, 12, 20), in_heads[:, 16:])
    whole = tensors[f"{place}kv_a_proj_with_mqa.weight"]
    assert np.array_equal(np.concatenate([layer["w_latent"], layer["w_key"]]), whole)
    mlp = "layers.1.mlp."
    assert np.array_equal(layer["w_up"][40:80], tensors[f"{mlp}experts.1.up_proj.weight"])
    assert np.array_equal(layer["w_up"][480:], tensors[f"{mlp}shared_experts.up_proj.weight"])
    assert np.array_equal(layer["w_down"][:, 480:], tensors[f"{mlp}shared_experts.down_proj.weight"])
    assert layer["w_up"].shape == (480 + 80, 64) and model.layers[0]["w_up"].shape == (160, 64)
    for index, own in enumerate(model.layers):
        for name, values in own.tensors.items():
            assert values.shape == tensor_shape(model.config, name, index)


def test_integer_matrices_of_heads_are_the_float_ones_turned(directory: Path) -> None:
    """Gains of latents are folded in front of it: they belong to the float matrix' inputs."""
    model = import_hugging_face(directory)
    made, layer = quantise(model).layers[1], model.layers[1]
    gain = layer["latent_norm"].astype(np.float64)
    keys, values = (layer[name].astype(np.float64) * gain for name in ("w_key_up", "w_value_up"))
    for name, expected in (
        ("w_key_up", keys.T),
        ("w_value_up", values.reshape(4, 12, 20).transpose(1, 0, 2).reshape(12, 80)),
    ):
        scaled = made[name].values / 2.0 ** made[name].scale
        assert np.abs(scaled - expected).max() <= 2.0 ** -(made[name].scale + 1)
    rule = MatrixRule(3, 8, 0, 0, 8, blocks=2, arranged=Arrangement.OF_HEADS)
    assert rule.float_shape == (6, 4)
    heads = np.arange(24).reshape(6, 4)
    assert rule.arrange(heads).tolist()[0] == [0, 1, 2, 3, 12, 13, 14, 15]


def test_the_choice_bias_is_centred(directory: Path) -> None:
    """What all experts have in common decides nothing, and would take bits."""
    model = import_hugging_face(directory)
    stored = model.layers[1]["choice_bias"]
    made = quantise(model).vectors[1]["choice_bias"]
    assert stored.mean() > 4 and made.max() == -made.min() < 1 << 16
    assert np.abs(np.diff(made) / 2**16 - np.diff(stored)).max() < 2**-15


@pytest.mark.parametrize(
    "rotary",
    [
        {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 64,
            "mscale_all_dim": 1.0,
            "mscale": 1.0,
        },
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "mscale_all_dim": 0.5},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
        {"rope_type": "linear", "factor": 4.0, "mscale_all_dim": 1.0},
        {"rope_type": "default", "factor": 4.0, "mscale_all_dim": 1.0},
    ],
    ids=lambda rotary: f"{rotary['rope_type']}{len(rotary)}",
)
def test_scores_are_scaled_as_the_library_scales_them(rotary: dict[str, Any]) -> None:
    facts = transformers.DeepseekV3Config(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        q_lora_rank=None,
        kv_lora_rank=8,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=8,
        first_k_dense_replace=1,
        intermediate_size=16,
        max_position_embeddings=256,
        vocab_size=16,
        rope_parameters={"rope_theta": 10_000.0, **rotary},
    )
    attention = transformers.AutoModelForCausalLM.from_config(facts).model.layers[0].self_attn
    config = hugging_face_config({**facts.to_dict(), "first_k_dense_replace": 0})
    assert isinstance(config, DeepseekV3Config)
    assert config.latent_heads.score_scale == pytest.approx(attention.scaling, rel=1e-6)


def test_pairs_that_are_halves_become_neighbours(tmp_path: Path) -> None:
    """The same weights read either way are two models, each as the library reads it."""
    model = seeded_model("deepseek-v3")
    path = save_directory(model, tmp_path)
    neighbours = float_logits(import_hugging_face(path), random_ids())
    restate(path, rope_interleave=False)
    halves = float_logits(import_hugging_face(path), random_ids())
    model.config.rope_interleave = False
    assert np.abs(halves - logits(model, random_ids())).max() < 1e-4 < 1 < np.abs(halves - neighbours).max()
    torch.manual_seed(0)


# --- tiles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "kind"), [(1 << 13, "query_latent"), (2000, "query_latent_tile")])
def test_tiles_give_the_integers_of_whole_steps(most: int, kind: str) -> None:
    model = load_model("tiny-deepseek-v3")
    assert "attention" in model.config.kinds
    whole, cut = Trace(model, IDS), Trace(tiled(model, most), IDS)
    assert cut.steps > whole.steps and kind in tiled(model, most).config.kinds
    for stream in ("residual", "gates", "keys", "latent"):
        assert np.array_equal(cut.stream(cut.steps, stream), whole.stream(whole.steps, stream))


@pytest.mark.long
def test_no_step_of_the_published_shape_has_more_weights_than_any_other() -> None:
    """671 billion of them: 61 layers, 128 heads, 257 experts."""
    published = DeepseekV3Config(
        layers=61,
        hidden=7168,
        vocabulary=129_280,
        norm_epsilon=1e-6,
        max_positions=1 << 14,
        heads=128,
        query_rank=1536,
        latent_rank=512,
        plain_size=128,
        rope_size=64,
        value_size=128,
        rope_base=10_000,
        feed_forward=18_432,
        dense_layers=3,
        experts=256,
        experts_per_token=8,
        expert_size=2048,
        shared_experts=1,
        expert_groups=8,
        groups_per_token=4,
        routing_factor=2.5,
    )
    plans = {kind: Plan(program, 18) for kind, program in published.programs.items()}
    chunks = {kind: plan.key_layout(18).chunks for kind, plan in plans.items()}
    assert max(chunks.values()) == 21 <= STEP_WEIGHTS >> 18
    assert chunks["query_latent_tile"] == 12 and published.steps["query_latent_tile"].tiles == 4
    assert published.step_count == 122_026


def test_every_row_has_its_experts_and_the_shared_one() -> None:
    model = load_model("tiny-deepseek-v3")
    trace, step = Trace(model, IDS), model.config.number_of("router")
    gates = trace.stream(step + 1, "gates")
    assert gates.shape[1] == 13 and (gates[:, 12] == 1 << 14).all()
    assert ((gates[:, :12] > 0).sum(axis=1) == 3).all()
    assert (np.abs(gates[:, :12].sum(axis=1) - 1.5 * (1 << 14)) <= 2).all()
    groups = (gates[:, :12].reshape(-1, 3, 4) > 0).any(axis=2)
    assert (groups.sum(axis=1) <= 2).all() and groups.any(axis=0).all()
    executor = Executor(model)
    assert executor.feed(IDS, executor.start()).shape == (40, 64)
