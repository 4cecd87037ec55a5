"""The models that this machine can re-run, matched with registered ones by their commitments."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from contracts.bindings.errors import ContractError
from contracts.bindings.model_registry import ModelRegistry
from contracts.bindings.settings import STATE
from contracts.protocol.game import ModelRules
from contracts.protocol.model import CommittedModel, ModelSpec
from contracts.protocol.trace import OwnTrace
from prover.sampling import Sampling

from .errors import Stopped

if TYPE_CHECKING:
    from prover.curve.srs import SRS

MODELS, COMMITMENTS = STATE / "models", STATE / "commitments"

Replayer = Callable[[Sequence[int], Sequence[int], Sampling | None], OwnTrace]
Asked = tuple[Sequence[int], Sequence[int], Sampling | None]
"""Prompt, output and rule of a response."""


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine. `replay(prompt_ids, output_ids, sampling)` gives the own trace of a response, `replay_together`
    those of several in one pass (None: it cannot).

    `built_id` is its id with the verifiers that this program generates; None when there are none.
    """

    name: str
    commitment: CommittedModel
    replay: Replayer
    built_id: bytes | None = None
    replay_together: Callable[[Sequence[Asked]], list[OwnTrace]] | None = None

    def rules(self, arity: int) -> ModelRules:
        return ModelRules.of(self.commitment, arity)


class ModelFinder(Protocol):
    def find(self, model_id: bytes) -> LocalModel | None: ...


class LocalModels:
    """Finds the local model behind a registered id.

    A registered model with the right weights could still name a verifier that accepts anything or nothing, so an
    id counts only when it follows from the verifiers that this program generates itself, or when it is in
    `trusted_ids` and has the model's commitments: verifiers that somebody trusted built elsewhere.
    """

    def __init__(
        self, models: Sequence[LocalModel], registry: ModelRegistry, trusted_ids: Collection[bytes] | None
    ) -> None:
        self._models = list(models)
        self._registry = registry
        self._trusted = frozenset(trusted_ids or ())
        self._built = {model.built_id: model for model in self._models if model.built_id is not None}
        self._found: dict[bytes, LocalModel | None] = {}

    def find(self, model_id: bytes) -> LocalModel | None:
        if (built := self._built.get(model_id)) is not None:
            return built
        if model_id not in self._trusted:
            return None
        if model_id not in self._found:
            try:
                spec = self._registry.spec(model_id)
            except ContractError:
                return None
            self._found[model_id] = next(
                (m for m in self._models if spec.difference(m.commitment) is None), None
            )
        return self._found[model_id]


def possible_names(spec: ModelSpec, first: Sequence[str], folder: Path = MODELS) -> Iterator[str]:
    """Models on this machine that may be the registered one, by what is known without committing to their weights: those in
    `first` that are there, then the imported and the built-in ones."""
    from prover.model.errors import ModelError
    from prover.model.library import BUILT_IN, imported_models, load_model

    for name in dict.fromkeys([*first, *imported_models(folder), *BUILT_IN]):
        try:
            model = load_model(name, models=folder)
        except ModelError:
            continue
        ours = (model.tokenizer.digest, len(model.tokenizer), model.config.max_positions, model.logit_scale)
        if ours == (spec.tokenizer_digest, spec.vocab_size, spec.max_positions, spec.logit_scale):
            yield name


def load_local_model(
    name: str,
    srs_file: Path | None = None,
    *,
    models: Path = MODELS,
    commitments: Path = COMMITMENTS,
    stop: threading.Event | None = None,
    device: str | None = None,
    accept_srs: Callable[[SRS], None] = lambda srs: None,
) -> LocalModel:
    """Load, commit and wrap one model, and build its verifiers. Takes seconds to minutes the first time, then reads
    caches.

    `device`: where answers are run again (`prover.model.devices.open_device`). `accept_srs` raises when nothing may be staked under the reference string. Once `stop` is set, a replay that runs raises `Stopped` after its current step.
    """
    from contracts.bindings.registration import built_model_id
    from prover.curve.srs import DEVNET_BITS, SRS
    from prover.model.devices import open_device
    from prover.model.execute import Executor
    from prover.model.library import load_model
    from prover.model_commitment import commit_model
    from prover.replay import Replay, trace_together
    from verifier_gen import generate_sources

    srs = SRS.devnet(DEVNET_BITS) if srs_file is None else SRS.load(srs_file)
    accept_srs(srs)
    place = open_device(device)
    model = load_model(name, models=models)
    executor = Executor(model, device=place)
    commitment = commit_model(model, srs, cache_dir=commitments)

    def progress(_what: str, _done: int, _all: int) -> None:
        if stop is not None and stop.is_set():
            raise Stopped

    def replay(
        prompt_ids: Sequence[int], output_ids: Sequence[int], sampling: Sampling | None = None
    ) -> OwnTrace:
        return Replay(model, commitment, srs, prompt_ids, output_ids, progress, sampling, executor=executor)

    def replay_together(asked: Sequence[Asked]) -> list[OwnTrace]:
        replays = [Replay(model, commitment, srs, p, o, progress, s, executor=executor) for p, o, s in asked]
        trace_together(replays, progress)
        return list(replays)

    return LocalModel(
        name=name,
        commitment=commitment,
        replay=replay,
        built_id=built_model_id(commitment, generate_sources(model.config, srs)),
        replay_together=replay_together,
    )
