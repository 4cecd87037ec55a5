"""Floats that take the experts which integers took: where both take others, it has to be a near tie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from prover.model import float_reference
from prover.model.execute import Executor, Rows
from prover.model.float_model import FloatLayer, FloatModel
from prover.model.weights import IntegerModel

NEAR = 4e-3
"""Of scores in (0, 1), and of the sums of two: as close as that, either may be taken."""


@dataclass(frozen=True)
class Choice:
    """What a layer's router took: experts [row, expert] and, where it takes groups first, groups [row, group]; True if taken."""

    experts: np.ndarray
    groups: np.ndarray | None


def integer_choices(model: IntegerModel, ids: list[int]) -> list[Choice]:
    """Of every layer whose router scores its experts."""
    found: list[Choice] = []

    def see(layer: int, tensors: Rows) -> None:
        if "router_scores" in tensors:
            groups = tensors.get("picked_groups")
            found.append(
                Choice(tensors["picked"].astype(bool), None if groups is None else groups.astype(bool))
            )

    executor = Executor(model)
    executor.observer = see
    executor.feed(ids, executor.start())
    return found


def logits_of_the_same_choices(
    floats: FloatModel, ids: list[int], choices: list[Choice], patch: pytest.MonkeyPatch
) -> np.ndarray:
    """Logits of floats whose routers take `choices`, each of which their own scores allow up to a near tie."""
    assert choices
    due: Iterator[Choice] = iter(choices)

    def taken(logits: torch.Tensor, layer: FloatLayer, config: Any) -> tuple[torch.Tensor, torch.Tensor]:
        choice, scores = next(due), logits.sigmoid().numpy()
        worth = scores + layer["choice_bias"]
        allowed = np.ones_like(choice.experts)
        if choice.groups is not None:
            grouped = worth.reshape(len(worth), config.expert_groups, -1)
            assert_nearly_best(np.sort(grouped, axis=-1)[..., -2:].sum(-1), choice.groups)
            allowed = np.repeat(choice.groups, grouped.shape[-1], axis=-1)
        assert not (choice.experts & ~allowed).any()
        assert_nearly_best(np.where(allowed, worth, -np.inf), choice.experts)
        experts = np.nonzero(choice.experts)[1].reshape(len(worth), config.experts_per_token)
        chosen = np.take_along_axis(scores, experts, axis=1)
        shared = np.broadcast_to(
            config.experts + np.arange(config.shared_experts), (len(worth), config.shared_experts)
        )
        weights = config.routing_factor * chosen / chosen.sum(-1, keepdims=True)
        return (
            torch.from_numpy(np.concatenate([weights, np.ones(shared.shape, np.float32)], axis=1)),
            torch.from_numpy(np.concatenate([experts, shared], axis=1)),
        )

    with patch.context() as context:
        context.setattr(float_reference, "_scored", taken)
        logits = float_reference.float_logits(floats, ids)
    assert next(due, None) is None
    return logits


def assert_nearly_best(values: np.ndarray, taken: np.ndarray) -> None:
    """No value that is not taken is above one that is by more than a near tie."""
    least = np.where(taken, values, np.inf).min(axis=-1)
    best_left = np.where(taken, -np.inf, values).max(axis=-1)
    assert (best_left - least).max() < NEAR
