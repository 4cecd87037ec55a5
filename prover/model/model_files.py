"""Which files of a directory are the model, and reading the small ones; with the causes that a reader can name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..foreign_json import MODEL_FILE, ForeignJsonError, read_json
from .errors import CheckpointError

CONFIG = "config.json"

_POINTER = b"version https://git-lfs"


def refuse_pointer(path: Path) -> None:
    """Raise CheckpointError when a file holds only Git LFS's note of where its content is."""
    with path.open("rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            raise CheckpointError(
                f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull` beside it"
            )


def read_text(path: Path) -> str:
    """A UTF-8 text. Raises CheckpointError."""
    try:
        refuse_pointer(path)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); download the model again") from error


def read_json_object(path: Path, *, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON object; `default` where there is no file. Raises CheckpointError."""
    if default is not None and not path.is_file():
        return default
    try:
        value = read_json(read_text(path), what=str(path), limits=MODEL_FILE)
    except ForeignJsonError as error:
        raise CheckpointError(f"{path} cannot be read ({error}); download the model again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object; download the model again")
    return value


def chosen_source(path: Path) -> tuple[Path, tuple[str, ...]] | None:
    """The model that a path means, as other loaders take it, and what else was there; None where there is none.

    A directory with a config.json is a Hugging Face model, whatever else lies in it; without one it must hold a single
    GGUF file. Raises CheckpointError for several.
    """
    if path.is_file():
        return path, ()
    if not path.is_dir():
        return None
    files = sorted(path.glob("*.gguf"))
    if (path / CONFIG).is_file():
        others = [file.name for file in files]
        note = f"{path} also holds {', '.join(others)}; {CONFIG} and its weights were read"
        return path, (note,) if others else ()
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:6]) + (", …" if len(files) > 6 else "")
        raise CheckpointError(f"{path} holds {len(files)} GGUF files ({names}); name one of them")
    return (files[0], ()) if files else None
