"""The integer model: what is run, committed and proven, and how it is kept on disk.

A saved model is a directory:

    manifest.json        format, config, tokenizer, scales, shifts, observed ranges, SHA-256 of the weights
    weights.safetensors  embedding, head, and layers.<l>.<matrix> as int16

Weights are memory-mapped, so loading costs only the hash. The directory appears under its name in one rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import save_file

from ..architectures.llama import LlamaConfig
from .errors import ModelError, ModelFileError, ModelHashError, ModelNotFoundError
from .gguf_import import FloatModel, matrix_shapes
from .quantise import MATRIX_RULES, IntegerMatrix, QuantisedWeights, quantise
from .tokenizer import Tokenizer, TokenizerSpecification

FORMAT = "gainsay-integer-model/1"
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"

Progress = Callable[[str, int, int], None]
Kind = Literal["attention", "mlp"]


@dataclass(frozen=True)
class ObservedRange:
    """Largest absolute value of a tensor in one layer on the calibration text, in integers at the tensor's scale."""

    tensor: str
    layer: int
    largest: int
    limit: int

    @property
    def headroom(self) -> float:
        """How many times the observed value fits the declared range."""
        return self.limit / max(self.largest, 1)


@dataclass(frozen=True)
class IntegerModel:
    """A model as exact integers. `weights.layers[l][name]` is the matrix `name` of layer l."""

    name: str
    config: LlamaConfig
    tokenizer: Tokenizer
    weights: QuantisedWeights
    observed: tuple[ObservedRange, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_float(
        cls, model: FloatModel, *, source: dict[str, Any] | None = None, progress: Progress | None = None
    ) -> IntegerModel:
        """Quantise a float model. Raises QuantiseError."""
        weights = quantise(model, progress=progress)
        return cls(model.name, model.config, model.tokenizer, weights, source=source or {})

    @property
    def embedding(self) -> np.ndarray:
        """(vocabulary, hidden) int16 at the residual scale."""
        return self.weights.embedding

    @property
    def head(self) -> np.ndarray:
        """(vocabulary, hidden) int16, final norm gain folded in."""
        return self.weights.head

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Sorted ids after which generation stops."""
        return self.tokenizer.end_ids

    def layer_weights(self, layer: int, kind: Kind) -> dict[str, np.ndarray]:
        """int16 matrices (inputs, outputs) of the attention or MLP step of a layer, by weight name of its program."""
        matrices = self.weights.layers[layer]
        return {tensor.name: matrices[tensor.name].values.T for tensor in self.config.programs[kind].weights}

    def layer_parameters(self, layer: int, kind: Kind) -> dict[str, int]:
        """The step-key integers: `<matrix>_shift` for every matrix of the step."""
        matrices = self.weights.layers[layer]
        weights = self.config.programs[kind].weights
        return {f"{w.name.removeprefix('w_')}_shift": matrices[w.name].shift for w in weights}

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over config, tokenizer, scales and all integers; equal models have equal digests anywhere."""
        digest = hashlib.sha256()
        facts = {"config": _config_to_json(self.config), "scales": _scales(self)}
        digest.update(json.dumps(facts, sort_keys=True).encode())
        digest.update(self.tokenizer.digest)
        for name, tensor in sorted(_tensors(self).items()):
            digest.update(f"{name}{tensor.shape}".encode())
            digest.update(np.ascontiguousarray(tensor, dtype="<i2").data)
        return digest.digest()


def save(model: IntegerModel, directory: Path | str) -> Path:
    """Write a model; an existing model of that name is replaced only once the new one is complete."""
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        staging.chmod(0o755)
        save_file(_tensors(model), staging / WEIGHTS)
        manifest = {
            "format": FORMAT,
            "name": model.name,
            "config": _config_to_json(model.config),
            "tokenizer": model.tokenizer.specification.to_json(),
            "scales": _scales(model),
            "observed": [asdict(entry) for entry in model.observed],
            "source": model.source,
            "weights_sha256": _sha256(staging / WEIGHTS),
        }
        (staging / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")
        _replace_directory(staging, directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return directory


def load(directory: Path | str, *, verify: bool = True) -> IntegerModel:
    """Map a saved model into memory.

    Raises ModelNotFoundError (no such model), ModelFileError (of another format or inconsistent) and ModelHashError
    (the weights are not those of the manifest). `verify=False` skips hashing the weights.
    """
    directory = Path(directory)
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{directory} holds no model; run `gainsay model import` first") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelFileError(
            f"{directory / MANIFEST} cannot be read ({error}); import the model again"
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelFileError(f"{directory} is not of format {FORMAT}; import the model again")
    path = directory / WEIGHTS
    if not path.is_file():
        raise ModelFileError(f"{path} is missing; import the model again")
    try:
        if verify and (found := _sha256(path)) != manifest["weights_sha256"]:
            raise ModelHashError(str(path), manifest["weights_sha256"], found)
        return _assemble(manifest, _map_safetensors(path))
    except (KeyError, TypeError, ValueError, ModelError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{directory} is inconsistent ({error}); import the model again") from error


def _assemble(manifest: dict[str, Any], tensors: dict[str, np.ndarray]) -> IntegerModel:
    config = LlamaConfig(**manifest["config"])
    scales = manifest["scales"]
    layers = []
    for layer in range(config.layers):
        matrices = {}
        for name, shape in matrix_shapes(config).items():
            values = _expect(tensors, f"layers.{layer}.{name}", shape)
            entry, rule = scales["layers"][layer][name], MATRIX_RULES[name]
            if entry["shift"] != entry["scale"] + rule.input_scale - rule.output_scale:
                raise ModelFileError(
                    f"{name} was quantised for other scales than this version's; import the model again"
                )
            matrices[name] = IntegerMatrix(values, entry["scale"], entry["shift"])
        layers.append(matrices)
    shape = (config.vocabulary, config.hidden)
    return IntegerModel(
        name=manifest["name"],
        config=config,
        tokenizer=Tokenizer(TokenizerSpecification.from_json(manifest["tokenizer"])),
        weights=QuantisedWeights(
            embedding=_expect(tensors, "embedding", shape),
            head=_expect(tensors, "head", shape),
            head_scale=scales["head"],
            layers=layers,
        ),
        observed=tuple(ObservedRange(**entry) for entry in manifest["observed"]),
        source=manifest["source"],
    )


def _config_to_json(config: LlamaConfig) -> dict[str, Any]:
    return {entry.name: getattr(config, entry.name) for entry in fields(config) if entry.init}


def _tensors(model: IntegerModel) -> dict[str, np.ndarray]:
    tensors = {"embedding": model.weights.embedding, "head": model.weights.head}
    for index, layer in enumerate(model.weights.layers):
        tensors |= {f"layers.{index}.{name}": matrix.values for name, matrix in layer.items()}
    return tensors


def _scales(model: IntegerModel) -> dict[str, Any]:
    layers = [
        {name: {"scale": matrix.scale, "shift": matrix.shift} for name, matrix in layer.items()}
        for layer in model.weights.layers
    ]
    return {"head": model.weights.head_scale, "layers": layers}


def _expect(tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in tensors or tensors[name].shape != shape:
        raise ModelFileError(f"the saved weights lack {name!r} of shape {shape}; import the model again")
    return tensors[name]


def _map_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Every int16 tensor as a read-only view of the mapped file; the library's own reader would copy."""
    mapped = np.memmap(path, dtype=np.uint8, mode="r")
    header_size = int.from_bytes(mapped[:8].tobytes(), "little")
    header = json.loads(mapped[8 : 8 + header_size].tobytes())
    body = mapped[8 + header_size :]
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "I16":
            raise ModelFileError(f"{path}: tensor {name!r} is {entry['dtype']} instead of I16; import again")
        start, end = entry["data_offsets"]
        tensors[name] = np.asarray(body[start:end].view("<i2").reshape(entry["shape"]))
    return tensors


def _replace_directory(staging: Path, directory: Path) -> None:
    """Put `staging` in the place of `directory`; a kill in between leaves either the old one or none, never half."""
    if directory.exists():
        retired = Path(tempfile.mkdtemp(prefix=f".{directory.name}.old.", dir=directory.parent))
        os.replace(directory, retired)
        os.replace(staging, directory)
        shutil.rmtree(retired, ignore_errors=True)
    else:
        os.replace(staging, directory)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
