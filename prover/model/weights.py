"""The integer model: what is run, committed and proven, and how it is kept on disk.

A saved model is a directory:

    manifest.json        format, config, tokenizer, scales, shifts, observed ranges, SHA-256 of the weights
    weights.safetensors  embedding, head, and layers.<l>.<matrix> as int16; layers.<l>.<other weight> as int64

Weights are memory-mapped, so loading costs only the hash and one look at every weight (bounds.py). The directory appears under its name in one rename.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..architectures import config_from_json
from ..architectures.config import ModelConfig, Sliced
from ..foreign_json import MODEL_FILE, ForeignJsonError, read_json_file
from .bounds import check_bounds
from .errors import ModelError, ModelFileError, ModelHashError, ModelNotFoundError
from .float_model import FloatModel
from .quantise import IntegerMatrix, QuantisedWeights, head_type, quantise
from .tokenizer import Tokenizer, TokenizerSpecification
from .weights_file import WeightsFile, map_file, tensors_of, write_weights

FORMAT = "gainsay-integer-model/1"
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"

Progress = Callable[[str, int, int], None]


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
    config: ModelConfig
    tokenizer: Tokenizer
    weights: QuantisedWeights
    observed: tuple[ObservedRange, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)
    mapping: mmap.mmap | WeightsFile | None = field(default=None, repr=False, compare=False)

    def release_pages(self) -> None:
        """Let go of the mapped weights in memory; what is needed again is read from the file, or its cache, again.

        A run of the model touches every page of it, a proof one layer: without this the whole model counts as memory
        of the process while it proves. Nothing happens to a model that is not mapped.
        """
        if self.mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.mapping.madvise(mmap.MADV_DONTNEED)

    @classmethod
    def from_float(
        cls,
        model: FloatModel,
        *,
        source: dict[str, Any] | None = None,
        file: WeightsFile | None = None,
        progress: Progress | None = None,
    ) -> IntegerModel:
        """Quantise a float model, in memory or into a file of weights. Raises QuantiseError."""
        if file is None:
            weights = quantise(model, progress=progress)
            return cls(model.name, model.config, model.tokenizer, weights, source=source or {})
        weights = quantise(model, keep=file.keep, let_go=file.release_pages, progress=progress)
        return cls(model.name, model.config, model.tokenizer, weights, source=source or {}, mapping=file)

    @property
    def embedding(self) -> np.ndarray:
        """(vocabulary, hidden) int16 at the residual scale."""
        return self.weights.embedding

    @property
    def head(self) -> np.ndarray:
        """(vocabulary, head_inputs) int16 or int32, final norm folded in."""
        return self.weights.head

    @property
    def logit_scale(self) -> int:
        """s: an integer logit v stands for v * 2^-s."""
        return self.config.normalised_scale + self.weights.head_scale

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Sorted ids after which generation stops."""
        return self.tokenizer.end_ids

    def layer_weights(self, layer: int, kind: str, tile: int = 0) -> dict[str, np.ndarray]:
        """Weights of one kind of step of a layer, by name in its program: whole, or the slice of a tile.

        Matrices are (inputs, outputs) int16, all others int64 in their unpadded shape.
        """
        names = (tensor.name for tensor in self.config.programs[kind].weights)
        return {name: self.layer_weight(layer, kind, tile, name) for name in names}

    def layer_weight(self, layer: int, kind: str, tile: int, name: str) -> np.ndarray:
        """One of them."""
        matrices, sliced = self.weights.layers[layer], self.config.steps[kind].sliced
        whole = matrices[name].values.T if name in matrices else self.weights.vectors[layer][name]
        return _slice(whole, sliced[name], tile) if name in sliced else whole

    def layer_parameters(self, layer: int, kind: str, tile: int = 0) -> dict[str, int]:
        """The step-key integers: `<matrix>_shift` for every matrix, and what else tells layers and tiles apart."""
        matrices = self.weights.layers[layer]
        shifts = {f"{name.removeprefix('w_')}_shift": matrix.shift for name, matrix in matrices.items()}
        known = shifts | self.config.layer_parameters(layer, kind) | self.config.tile_parameters(kind, tile)
        return {name: known[name] for name in self.config.programs[kind].parameters}

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over config, tokenizer, scales and all integers; equal models have equal digests anywhere."""
        digest = hashlib.sha256()
        facts = {"config": self.config.to_json(), "scales": _scales(self)}
        digest.update(json.dumps(facts, sort_keys=True).encode())
        digest.update(self.tokenizer.digest)
        for name, tensor in sorted(_tensors(self).items()):
            digest.update(f"{name}{tensor.shape}".encode())
            digest.update(np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<")).data)
        return digest.digest()


def _slice(whole: np.ndarray, sliced: Sliced, tile: int) -> np.ndarray:
    """A tile of a weight: a view of it, or a copy with zeros behind its end."""
    place = [slice(None)] * whole.ndim
    place[sliced.axis] = sliced.entries(tile)
    found = whole[tuple(place)]
    missing = sliced.size - found.shape[sliced.axis]
    if not missing:
        return found
    return np.pad(found, [(0, missing if axis == sliced.axis else 0) for axis in range(whole.ndim)])


def save(model: IntegerModel, directory: Path | str) -> Path:
    """Write a model; an existing model of that name is replaced only once the new one is complete."""
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        staging.chmod(0o755)
        write_weights(_tensors(model), staging / WEIGHTS, let_go=model.release_pages)
        manifest = {
            "format": FORMAT,
            "name": model.name,
            "config": model.config.to_json(),
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

    Raises ModelNotFoundError (no such model), ModelFileError (of another format or inconsistent, or with a weight outside
    the layer programs' widths, which no import writes) and ModelHashError (the weights are not those of the manifest).
    `verify=False` skips hashing the weights.
    """
    directory = Path(directory)
    try:
        manifest = read_json_file(directory / MANIFEST, limits=MODEL_FILE)
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{directory} holds no model; run `gainsay model import` first") from error
    except (OSError, ForeignJsonError) as error:
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
        mapping = map_file(path)
        model = replace(_assemble(manifest, tensors_of(mapping, path)), mapping=mapping)
        check_bounds(model.config, model.weights, after_layer=model.release_pages)
        model.release_pages()
        return model
    except (
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
        ValueError,
        ForeignJsonError,
        ModelError,
    ) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{directory} is inconsistent ({error}); import the model again") from error


def _assemble(manifest: dict[str, Any], tensors: dict[str, np.ndarray]) -> IntegerModel:
    config = config_from_json(manifest["config"])
    _ = config.step_count  # no schedule is made for a shape that has too many
    scales = manifest["scales"]
    layers, vectors = [], []
    for layer in range(config.layers):
        matrices = {}
        for name, rule in config.matrix_rules_of(layer).items():
            values = _expect(tensors, f"layers.{layer}.{name}", (rule.outputs, rule.inputs), np.int16)
            entry = scales["layers"][layer][name]
            matrices[name] = IntegerMatrix(values, entry["scale"], entry["shift"])
        layers.append(matrices)
        vectors.append(
            {
                name: _expect(tensors, f"layers.{layer}.{name}", shape, np.int64)
                if _is_stored(config, name, layer)
                else np.zeros(shape, dtype=np.int64)
                for name, shape in config.vector_shapes_of(layer).items()
            }
        )
    return IntegerModel(
        name=manifest["name"],
        config=config,
        tokenizer=Tokenizer(TokenizerSpecification.from_json(manifest["tokenizer"])),
        weights=QuantisedWeights(
            embedding=_expect(tensors, "embedding", (config.vocabulary, config.hidden), np.int16),
            head=_expect(tensors, "head", (config.vocabulary, config.head_inputs), head_type(config)),
            head_scale=scales["head"],
            layers=layers,
            vectors=vectors,
        ),
        observed=tuple(ObservedRange(**entry) for entry in manifest["observed"]),
        source=manifest["source"],
    )


def _tensors(model: IntegerModel) -> dict[str, np.ndarray]:
    tensors = {"embedding": model.weights.embedding, "head": model.weights.head}
    for index, layer in enumerate(model.weights.layers):
        tensors |= {f"layers.{index}.{name}": matrix.values for name, matrix in layer.items()}
    for index, vectors in enumerate(model.weights.vectors):
        tensors |= {
            f"layers.{index}.{name}": values
            for name, values in vectors.items()
            if _is_stored(model.config, name, index)
        }
    return tensors


def _is_stored(config: ModelConfig, name: str, layer: int) -> bool:
    """What a step in front of the layers takes is kept with the first one, and zero in every other."""
    return layer == 0 or name not in config.first_layer_weights


def _scales(model: IntegerModel) -> dict[str, Any]:
    layers = [
        {name: {"scale": matrix.scale, "shift": matrix.shift} for name, matrix in layer.items()}
        for layer in model.weights.layers
    ]
    return {"head": model.weights.head_scale, "layers": layers}


def _expect(
    tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...], kind: type[np.signedinteger]
) -> np.ndarray:
    found = tensors.get(name)
    if found is None or found.shape != shape or found.dtype != kind:
        raise ModelFileError(
            f"the saved weights lack {name!r} of shape {shape} as {kind.__name__}; import the model again"
        )
    return found


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
