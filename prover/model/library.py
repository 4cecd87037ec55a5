"""Models by name: the built-in tiny one, and those imported under `.gainsay/models`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

from .calibrate import calibrate
from .errors import ModelNotFoundError
from .fetch import DEFAULT_CACHE
from .gguf_import import import_gguf
from .tiny import tiny_model
from .weights import MANIFEST, IntegerModel, Progress, load, save

TINY = "tiny"
SMOLLM2 = "smollm2-135m"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def load_model(name: str | Path, *, models: Path | str = DEFAULT_CACHE) -> IntegerModel:
    """A model by name ("tiny", or an imported one such as "smollm2-135m") or by directory.

    Raises ModelNotFoundError, ModelFileError or ModelHashError.
    """
    if str(name) == TINY:
        return IntegerModel.from_float(tiny_model())
    for directory in (Path(models) / name, Path(name)):
        if (directory / MANIFEST).is_file():
            return load(directory)
    known = ", ".join([TINY, *imported_models(models)])
    raise ModelNotFoundError(f"no model {str(name)!r} (there are: {known}); run `gainsay model import` first")


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


def import_model(
    gguf: Path | str,
    *,
    name: str = SMOLLM2,
    models: Path | str = DEFAULT_CACHE,
    calibration_tokens: int = 512,
    progress: Progress | None = None,
) -> IntegerModel:
    """Read a GGUF file, quantise, calibrate and save it as `models`/`name`; returns the saved model.

    Raises the errors of `import_gguf` and `quantise`, and prover.program.OutOfRange when even the calibration
    text leaves a declared range.
    """
    if not _NAME.fullmatch(name) or name == TINY:
        raise ModelNotFoundError(
            f"{name!r} cannot name a model; use lower-case letters, digits, '-', '_' and '.'"
        )
    with Path(gguf).open("rb") as stream:
        source = {"file": Path(gguf).name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
    floats = import_gguf(gguf, progress=progress)
    source["model"] = floats.name
    model = replace(IntegerModel.from_float(floats, source=source, progress=progress), name=name)
    model = calibrate(model, tokens=calibration_tokens, progress=progress)
    return load(save(model, Path(models) / name), verify=False)
