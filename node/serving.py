"""A model that is served, with everything that defending its answers needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from prover.curve.srs import SRS
from prover.model.batch import batch_in_memory
from prover.model.devices import HOST_DEVICE, Device
from prover.model.execute import Executor
from prover.model.weights import IntegerModel
from prover.model_blindings import ResponseBlindings
from prover.model_commitment import ModelCommitment
from prover.private_model import PrivateModel
from prover.replay import Replay
from prover.sampling import Sampling

from .inference import InferenceQueue
from .settings import ProviderSettings


@dataclass(frozen=True)
class CommittedServing:
    """A model with everything that defending its answers needs."""

    name: str
    model: IntegerModel
    commitment: ModelCommitment
    srs: SRS
    model_id: bytes
    own: PrivateModel | None = None  # None: the model is public
    device: Device = HOST_DEVICE  # where the model is run

    @cached_property
    def executor(self) -> Executor:
        """What runs the model, for all: what it finds out about weights, or brings to a device, is there once."""
        return Executor(self.model, device=self.device)

    def replay(
        self, prompt_ids: Sequence[int], output_ids: Sequence[int], sampling: Sampling | None = None
    ) -> Replay:
        """A lazy trace of an answer; of a private model with blindings that no answer has, to measure what it takes."""
        ids = list(prompt_ids), list(output_ids)
        blindings = None if self.own is None else ResponseBlindings.draw(self.own.blindings)
        return Replay(
            self.model,
            self.commitment,
            self.srs,
            *ids,
            sampling=sampling,
            blindings=blindings,
            executor=self.executor,
        )


def capacity_file(settings: ProviderSettings, model_id: bytes) -> Path:
    """Where it is kept what defending this model's answers takes on this machine."""
    return settings.traces_dir / model_id.hex() / "capacity.json"


def inference_queue(settings: ProviderSettings, serving: CommittedServing) -> InferenceQueue:
    """A private model's answers are made one at a time: boundaries are committed for each, and nothing of a prompt stays."""
    if serving.own is not None:
        return InferenceQueue(serving.executor, settings.queue_size)
    batch = batch_in_memory(serving.executor, settings.kv_cache_mib << 20, settings.at_once)
    return InferenceQueue(serving.executor, settings.queue_size, batch, settings.at_once)
