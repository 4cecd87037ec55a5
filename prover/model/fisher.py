"""Which steps an answer depends on most: diagonal Fisher information of a model's weights, summed per step.

    F_i = E_t E_{y ~ p(. | t)} (d log p(y | t) / d w_i)^2           information(step) = sum over its weights i of F_i w_i^2

t runs over the positions of a text, y over what the model itself would say next. A weight that is replaced by
w_i (1 + e) moves the next token's distribution by a Kullback-Leibler divergence of about F_i w_i^2 e^2 / 2, so the sum
says what a small *relative* change of all weights of a step costs, in nats per token. It does not change when a norm's
gain is folded into the matrix behind it, which the integer model does; sums of F_i alone do.

Both expectations come from one backward pass per sequence: with one y per position, E (sum_t d log p(y_t | t))^2 is
sum_t E (d log p(y_t | t))^2, because each term has mean zero whatever the others are.

Fisher information says where a lie hurts. It is no soundness: a cheater reads the profile, too (docs/fisher.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ..architectures.config import ModelConfig, Sliced
from ..foreign_json import MODEL_FILE, ForeignJsonError, read_json_file
from .errors import ModelNotFoundError, ProfileError, TokenError
from .float_model import FloatLayer, FloatModel
from .float_reference import final_rows
from .texts import CALIBRATION_CHAPTERS, SourceText, python_prose

FORMAT = "gainsay-fisher/1"
FILE = "fisher.json"
_HEAD_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class FisherProfile:
    """information[s]: of step s of the schedule, in nats per token and squared relative change; zero without weights."""

    model: str
    digest: str  # of the integer model
    origin: str
    sha256: str
    tokens: int
    seed: int
    information: tuple[float, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """Each step's part of the total."""
        total = math.fsum(self.information)
        return tuple(value / total for value in self.information)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path, *, digest: bytes, steps: int) -> FisherProfile:
        """Raises ModelNotFoundError, and ProfileError for a file that is no profile of this model."""
        try:
            stored = read_json_file(path, limits=MODEL_FILE)
        except OSError as error:
            raise ModelNotFoundError(
                f"there is no Fisher profile at {path} ({error.strerror}); run `gainsay model fisher` first"
            ) from error
        except ForeignJsonError as error:
            raise ProfileError(f"{error}; run `gainsay model fisher` again") from error
        if not isinstance(stored, dict) or stored.pop("format", None) != FORMAT:
            raise ProfileError(f"{path} is no Fisher profile; run `gainsay model fisher` again")
        if stored.get("digest") != digest.hex():
            raise ProfileError(f"{path} is the profile of another model; run `gainsay model fisher` again")
        known = set(stored) == set(cls.__dataclass_fields__)
        if not known or not _are_amounts(information := stored["information"], steps):
            raise ProfileError(
                f"{path} does not hold a number from 0 on for each of {steps} steps; run `gainsay model fisher` again"
            )
        return cls(**{**stored, "information": tuple(map(float, information))})


def measure_fisher(
    reference: FloatModel,
    digest: bytes,
    *,
    text: SourceText | None = None,
    sequences: int = 16,
    length: int = 128,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> FisherProfile:
    """The profile over `sequences` pieces of `length` tokens of a text (default: chapters of the Python reference).

    digest: of the integer model made from `reference`. Raises TokenError for a text that is too short.
    """
    config = reference.config
    source = text or python_prose(CALIBRATION_CHAPTERS)
    ids = reference.tokenizer.encode(source.text)
    length = min(length, config.max_positions)
    pieces = [ids[start : start + length] for start in range(0, len(ids) - length + 1, length)][:sequences]
    if len(pieces) < sequences:
        raise TokenError(
            f"the text has {len(ids)} tokens and {sequences} sequences of {length} need {sequences * length}; "
            "give a longer text or fewer sequences"
        )
    total = np.zeros(len(config.schedule))
    model = _differentiable(reference, total)
    generator = torch.Generator().manual_seed(seed)
    for done, piece in enumerate(pieces):
        if progress:
            progress("Fisher information", done, sequences)
        _surprise(model, piece, generator).backward()  # type: ignore[no-untyped-call]
    if progress:
        progress("Fisher information", sequences, sequences)
    tokens = sequences * length
    information = tuple(float(value) for value in total / tokens)
    return FisherProfile(
        reference.name, digest.hex(), source.origin, source.sha256, tokens, seed, information
    )


def _surprise(model: FloatModel, ids: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    """sum_t log p(y_t | ids up to t), with y_t drawn from p."""
    rows, head = final_rows(model, ids), torch.from_numpy(np.ascontiguousarray(model.head))
    total = torch.zeros(())
    for start in range(0, len(ids), _HEAD_ROWS_AT_ONCE):
        logits = rows[start : start + _HEAD_ROWS_AT_ONCE] @ head.T / model.config.head_rule.divisor
        logarithms = logits.log_softmax(-1)
        drawn = torch.multinomial(logarithms.detach().exp(), 1, generator=generator)
        total = total + logarithms.gather(1, drawn).sum()
    return total


def _differentiable(reference: FloatModel, total: np.ndarray) -> FloatModel:
    """The same model with weights that add F_i w_i^2 to the steps in `total`, and let go of their derivatives at once."""
    owners = _owners(reference.config)

    def watched(array: np.ndarray, layer: int, name: str) -> np.ndarray:
        parameter = torch.from_numpy(np.array(array, dtype=np.float32)).requires_grad_()

        def add(tensor: torch.Tensor) -> None:
            assert tensor.grad is not None
            change = (tensor.grad * tensor.detach()).square()
            for step, sliced, tile in owners[layer, name]:
                total[step] += float(_part(change, sliced, tile).sum(dtype=torch.float64))
            tensor.grad = None

        parameter.register_post_accumulate_grad_hook(add)  # type: ignore[no-untyped-call]
        return cast(np.ndarray, parameter)

    layers = [
        FloatLayer(
            {
                name: watched(layer[name], number, name) if (number, name) in owners else layer[name]
                for name in layer.tensors
            }
        )
        for number, layer in enumerate(reference.layers)
    ]
    positions = reference.positions
    if positions is not None and (0, "positions") in owners:
        positions = watched(positions, 0, "positions")
    return replace(reference, layers=layers, positions=positions)


def _owners(config: ModelConfig) -> Mapping[tuple[int, str], list[tuple[int, Sliced | None, int]]]:
    """(layer, weight) -> the steps that have it, each with the slice that is its own."""
    found: dict[tuple[int, str], list[tuple[int, Sliced | None, int]]] = {}
    for number, scheduled in enumerate(config.schedule):
        step = config.steps[scheduled.kind]
        for tensor in step.program.weights:
            entry = (number, step.sliced.get(tensor.name), scheduled.tile)
            found.setdefault((scheduled.layer, tensor.name), []).append(entry)
    return found


def _part(change: torch.Tensor, sliced: Sliced | None, tile: int) -> torch.Tensor:
    """A tile's entries. Float matrices are (outputs, inputs), program weights (inputs, outputs)."""
    if sliced is None:
        return change
    own = sliced.entries(tile)
    return change[own] if sliced.axis == 1 or change.ndim == 1 else change[:, own]


def _are_amounts(values: Any, count: int) -> bool:
    """Whether these are so many numbers from 0 on, not all of them zero."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) in (int, float) and 0 <= value < math.inf for value in values)
        and any(values)
    )
