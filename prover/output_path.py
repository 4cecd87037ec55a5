"""No command destroys its input, nor a file of another kind that lies where it wants to write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from .errors import UsageError


class OutputPathError(UsageError):
    """What a command would write lies where something else would be lost."""


def check_output(
    output: Path,
    inputs: Iterable[Path | None],
    *,
    what: str,
    own: Callable[[Path], bool],
    folder: bool = False,
) -> None:
    """Raises OutputPathError unless `output` is free, or holds what this command itself wrote before.

    inputs: files and folders that the command reads; None for those that were not given. An output that is one of
    them (by another name, a symbolic or a hard link, too), lies inside one, or would contain one is refused.
    what: the kind of thing written, such as "a proof file". own: whether an existing output is of that kind.
    folder: whether the whole output is a folder that is replaced.
    """
    for given in inputs:
        if given is not None and given.exists():
            _keep_apart(output, given, folder)
    if not os.path.lexists(output):
        return
    if folder != output.is_dir() or not (output.is_dir() or output.is_file()):
        raise OutputPathError(
            f"{output} is {_kind(output)}, where {what} would go; name another place, or remove it"
        )
    if not own(output):
        raise OutputPathError(
            f"{output} exists and is not {what}; name another place, or remove it if nothing there is needed"
        )


def starts_with(prefix: bytes) -> Callable[[Path], bool]:
    """Whether a file begins with these bytes, or is empty."""

    def check(path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(len(prefix)) in (prefix, b"")

    return check


def _keep_apart(output: Path, given: Path, folder: bool) -> None:
    where, source = output.resolve(), given.resolve()
    if where == source or (output.exists() and os.path.samefile(output, given)):
        raise OutputPathError(
            f"{output} is the input {given} itself, which would be lost; write the output elsewhere"
        )
    if source.is_dir() and source in where.parents:
        raise OutputPathError(
            f"{output} lies inside the input {given}, which would change; write the output elsewhere"
        )
    if folder and where in source.parents:
        raise OutputPathError(
            f"{output} contains the input {given}, which would be lost; write the output elsewhere"
        )


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    if path.is_file():
        return "a file"
    return "a broken link" if path.is_symlink() else "no regular file"
