"""A folder of receipts that a client keeps: one JSON file each, and a journal of everything that came.

    0x….json        the receipt's body, with `response` (its token ids), `answer` (the text) and `request`
    journal.jsonl   one line per answer: when, the file, what was checked, or why it was refused

A file is whole or absent, whatever is killed: it is written beside its place, synced and renamed. Prompts and answers stand
in it, so it is readable by its owner alone. Any number of threads and programs may keep receipts in one folder.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prover.errors import BadInputError, EnvironmentMissingError, NotFoundError
from prover.foreign_json import read_json, read_json_file

JOURNAL = "journal.jsonl"
KEPT, REFUSED = "kept", "refused"
_ID = re.compile(r"0x[0-9a-f]{64}")


class ReceiptFolderError(EnvironmentMissingError):
    """The folder of receipts cannot be read or written."""


@dataclass(frozen=True)
class Entry:
    """A line of the journal."""

    at: int
    state: str
    file: str | None
    problem: str | None = None
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class ReceiptFolder:
    """The receipts of one client, or of several."""

    def __init__(self, path: Path | str, *, create: bool = True) -> None:
        """Raises ReceiptFolderError, and NotFoundError where there is none and none is to be made."""
        self.path = Path(path)
        if create:
            try:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise self._unusable(error) from error
        elif not self.path.is_dir():
            raise NotFoundError(
                f"there is no folder {self.path}; name the one that gainsay.client keeps receipts in"
            )

    def keep(
        self, receipt_id: str, content: Mapping[str, Any], checked: list[str], unchecked: list[str]
    ) -> Path:
        """Write a verified receipt down. Raises ReceiptFolderError."""
        file = self.path / f"{self._name(receipt_id)}.json"
        self._write(file, content)
        self._note(Entry(int(time.time()), KEPT, file.name, None, checked, unchecked))
        return file

    def refuse(self, problem: str, content: Mapping[str, Any]) -> Path:
        """Write down what did not hold: it may be all the evidence that there is. Raises ReceiptFolderError."""
        file = self.path / f"refused-{int(time.time())}-{secrets.token_hex(4)}.json"
        self._write(file, content)
        self._note(Entry(int(time.time()), REFUSED, file.name, problem))
        return file

    def entries(self) -> list[Entry]:
        """The journal, oldest first; a last line that a kill cut off is left out. Raises ReceiptFolderError, BadInputError."""
        try:
            lines = (self.path / JOURNAL).read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(error) from error
        found = []
        for number, line in enumerate(lines[:-1], start=1):  # behind the last newline nothing is whole
            try:
                found.append(Entry(**read_json(line, what=f"line {number} of {self.path / JOURNAL}")))
            except TypeError as error:
                raise BadInputError(
                    f"line {number} of {self.path / JOURNAL} is no entry; remove it"
                ) from error
        return found

    def receipts(self) -> list[Path]:
        """Files of all receipts that were kept."""
        return sorted(file for file in self.path.glob("0x*.json") if _ID.fullmatch(file.stem))

    def read(self, receipt_id: str) -> dict[str, Any]:
        """What was kept under a receipt's id. Raises NotFoundError and BadInputError."""
        file = self.path / f"{self._name(receipt_id)}.json"
        try:
            content = read_json_file(file)
        except OSError as error:
            raise NotFoundError(
                f"{file} cannot be read ({error.strerror}); `gainsay receipt list` names all"
            ) from error
        if not isinstance(content, dict):
            raise BadInputError(f"{file} is no receipt")
        return content

    def replace(self, receipt_id: str, content: Mapping[str, Any]) -> None:
        """A newer form of a kept receipt: with its path. Raises ReceiptFolderError."""
        self._write(self.path / f"{self._name(receipt_id)}.json", content)

    @staticmethod
    def _name(receipt_id: str) -> str:
        if not _ID.fullmatch(receipt_id):  # it becomes a file's name
            raise BadInputError(f"{receipt_id[:80]!r} is no receipt id; give 0x and 64 hexadecimal digits")
        return receipt_id

    def _write(self, file: Path, content: Mapping[str, Any]) -> None:
        beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(content, stream, ensure_ascii=False, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise self._unusable(error) from error

    def _note(self, entry: Entry) -> None:
        line = json.dumps(entry.as_json(), ensure_ascii=False) + "\n"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            descriptor = os.open(self.path / JOURNAL, flags, 0o600)
            try:
                os.write(descriptor, line.encode())  # one write: lines of several programs do not mix
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> ReceiptFolderError:
        return ReceiptFolderError(
            f"the folder of receipts {self.path} cannot be used ({error.strerror}); make it writable, or name another one"
        )
