"""Models by name: the built-in tiny one, those that can be fetched, and those imported under `.gainsay/models`."""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..architectures.config import ModelConfig
from ..output_path import check_output
from .calibrate import calibrate
from .errors import ModelNotFoundError
from .fetch import DEFAULT_CACHE, GEMMA3_270M, SMOLLM2_135M, SOURCES, fetched
from .float_model import FloatModel
from .gguf_import import import_gguf, opened_gguf
from .hugging_face_import import import_hugging_face, opened_hugging_face
from .model_files import CONFIG, chosen_source
from .seeded import CONFIGURATIONS, LARGE, SEED, seeded_model, seeded_tokenizer
from .tiny import CONFIG as TINY_CONFIG
from .tiny import tiny_model, tiny_tokenizer
from .weights import MANIFEST, WEIGHTS, IntegerModel, Progress, load, save
from .weights_file import WeightsFile

TINY = "tiny"
BUILT_IN = (TINY, *CONFIGURATIONS)
"""Made anew whenever they are loaded. Those in LARGE are made once and kept beside the imported ones."""
SMOLLM2 = SMOLLM2_135M.name
GEMMA3 = GEMMA3_270M.name

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def load_model(
    name: str | Path, *, models: Path | str = DEFAULT_CACHE, progress: Progress | None = None
) -> IntegerModel:
    """A model by name or by directory: built in ("tiny", "tiny-gpt2", ...) or imported (such as "smollm2-135m").

    A large built-in one is made when it is first asked for, and kept under `models` like an imported one. Raises ModelNotFoundError, ModelFileError or ModelHashError.
    """
    if str(name) in BUILT_IN:
        return IntegerModel.from_float(built_in_model(str(name)))
    for directory in (Path(models) / name, Path(name)):
        if (directory / MANIFEST).is_file():
            return load(directory)
    if str(name) in LARGE:
        return _made(str(name), Path(models), progress)
    known = ", ".join([*BUILT_IN, *LARGE, *imported_models(models)])
    raise ModelNotFoundError(f"no model {str(name)!r} (there are: {known}); run `gainsay model import` first")


def built_in_config(name: str) -> ModelConfig:
    """The shape of a built-in model, without its weights."""
    return TINY_CONFIG if name == TINY else (CONFIGURATIONS | LARGE)[name]()


def built_in_model(name: str) -> FloatModel:
    """A model made from a seed, by its name in BUILT_IN or LARGE."""
    if name == TINY:
        return tiny_model()
    config = built_in_config(name)
    return seeded_model(name, config, seeded_tokenizer(tiny_tokenizer().specification, config.vocabulary))


def imported_models(models: Path | str = DEFAULT_CACHE) -> list[str]:
    """Names of the models imported under `models`, sorted."""
    folder = Path(models)
    if not folder.is_dir():
        return []
    return sorted(
        path.name
        for path in folder.iterdir()
        if (path / MANIFEST).is_file() and not path.name.startswith(".")
    )


def source_path(source: str | Path, *, models: Path | str = DEFAULT_CACHE) -> Path:
    """Where a model's files are: a GGUF file or a Hugging Face directory, or the fetched file of a known name.

    Raises ModelNotFoundError, and CheckpointError for a directory of several models.
    """
    if str(source) in SOURCES:
        found = fetched(models, source=SOURCES[str(source)])
        if found is None:
            raise ModelNotFoundError(
                f"{source} is not in {models}; run `gainsay model fetch --model {source}`"
            )
        return found
    chosen = chosen_source(Path(source))
    if chosen is not None:
        return chosen[0]
    raise ModelNotFoundError(
        f"{source} is no GGUF file, no directory with a {CONFIG} or one GGUF file, and none of {', '.join(SOURCES)}; "
        f"run `gainsay model fetch`, or name a file"
    )


def read_float_model(
    source: str | Path, *, residual_scale: int | None = None, progress: Progress | None = None
) -> FloatModel:
    """A GGUF file or a Hugging Face directory as a float model. Raises CheckpointError and TokenizerError."""
    importer = import_hugging_face if Path(source).is_dir() else import_gguf
    return importer(source, residual_scale=residual_scale, progress=progress)


def float_model_of(
    model: IntegerModel,
    name: str,
    source: str | None = None,
    *,
    models: Path | str = DEFAULT_CACHE,
    progress: Progress | None = None,
) -> FloatModel:
    """What an integer model was made from. source: its files; those of a model that can be fetched are known.

    Raises ModelNotFoundError, and what reading the files raises.
    """
    if name in BUILT_IN:
        return built_in_model(name)
    if source is None and name not in SOURCES:
        raise ModelNotFoundError(f"{name} was imported from files of yours; name them with --source")
    path = source_path(source or name, models=models)
    return read_float_model(path, residual_scale=model.config.residual_scale, progress=progress)


def import_model(
    source: Path | str,
    *,
    name: str = SMOLLM2,
    models: Path | str = DEFAULT_CACHE,
    calibration_tokens: int = 512,
    residual_scale: int | None = None,
    progress: Progress | None = None,
) -> IntegerModel:
    """Read a model's files, quantise, calibrate and save it as `models`/`name`; returns the saved model.

    One layer is in memory at a time, as floats and as integers; integers go to a file beside the model, which is deleted.

    Raises the errors of `read_float_model` and `quantise`, and prover.program.OutOfRange when even the calibration
    text leaves a declared range.
    """
    if not _NAME.fullmatch(name) or name in (*BUILT_IN, *LARGE):
        raise ModelNotFoundError(
            f"{name!r} cannot name a model; use lower-case letters, digits, '-', '_' and '.'"
        )
    check_output(
        Path(models) / name,
        [Path(source)],
        what="a saved model",
        own=lambda path: (path / MANIFEST).is_file(),
        folder=True,
    )
    origin: dict[str, Any] = {"file": Path(source).resolve().name, "sha256": _source_sha256(Path(source))}
    Path(models).mkdir(parents=True, exist_ok=True)
    opened = opened_hugging_face if Path(source).is_dir() else opened_gguf
    with (
        opened(source, residual_scale=residual_scale, progress=progress) as floats,
        tempfile.TemporaryDirectory(prefix=f".{name}.", dir=models) as scratch,
    ):
        origin["model"] = floats.name
        if floats.notes:
            origin["notes"] = list(floats.notes)
        file = WeightsFile(Path(scratch) / WEIGHTS)
        model = replace(
            IntegerModel.from_float(floats, source=origin, file=file, progress=progress), name=name
        )
        model = calibrate(model, tokens=calibration_tokens, progress=progress)
        return load(save(model, Path(models) / name), verify=False)


def _made(name: str, models: Path, progress: Progress | None) -> IntegerModel:
    """Make a large seeded model under `models`, one layer in memory at a time."""
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=models) as scratch:
        file = WeightsFile(Path(scratch) / WEIGHTS)
        source = {"seed": SEED}
        model = IntegerModel.from_float(built_in_model(name), source=source, file=file, progress=progress)
        return load(save(model, models / name), verify=False)


def _source_sha256(path: Path) -> str:
    """SHA-256 of a file; of a directory, over name and SHA-256 of each of its model files."""
    if path.is_dir():
        files = sorted([*path.glob("*.safetensors"), *path.glob("*.json"), *path.glob("*.jinja")])
        listing = "".join(f"{_source_sha256(file)}  {file.name}\n" for file in files)
        return hashlib.sha256(listing.encode()).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
