"""Every way in which a model can fail to be fetched, read, quantised or run, as a type of its own.

Messages say what to do about it. A value that leaves its declared range while running is
`prover.program.OutOfRange`; the node maps that to HTTP 422 and `SequenceTooLongError` to 413.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import BadInputError, EnvironmentMissingError, GainsayError, NotFoundError, UsageError


class ModelError(GainsayError):
    """Base of all errors of this package."""


class FetchError(ModelError, EnvironmentMissingError):
    """The reference model could not be downloaded or unpacked."""


class ChecksumError(FetchError):
    """A file does not have the pinned SHA-256."""

    def __init__(self, name: str, expected: str, found: str) -> None:
        super().__init__(
            f"{name} has SHA-256 {found} instead of the pinned {expected}; delete it and fetch again"
        )
        self.name, self.expected, self.found = name, expected, found


class CheckpointError(ModelError, BadInputError):
    """A file of weights is malformed, or describes something that this package does not read."""


class GgufError(CheckpointError):
    """A GGUF file is malformed."""


class MissingMetadataError(CheckpointError):
    """A metadata key that the architecture needs is absent."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the model's metadata lacks {key!r}; convert the model again with a current converter"
        )
        self.key = key


class MissingTensorError(CheckpointError):
    """A tensor that the architecture needs is absent."""

    def __init__(self, tensor: str) -> None:
        super().__init__(f"the file lacks tensor {tensor!r}; it is incomplete or of another architecture")
        self.tensor = tensor


class UnsupportedTensorError(CheckpointError):
    """A tensor is stored in an encoding that is not read."""

    def __init__(self, tensor: str, encoding: str, supported: tuple[str, ...]) -> None:
        super().__init__(
            f"tensor {tensor!r} is stored as {encoding}; requantise the file to one of {', '.join(supported)}"
        )
        self.tensor, self.encoding = tensor, encoding


@dataclass(frozen=True)
class Finding:
    """Something about a model that cannot be served: its kind, its name, and what it would take."""

    kind: str  # architecture, option, tensor, encoding
    name: str
    needed: str


def grouped(findings: Iterable[Finding]) -> list[Finding]:
    """One finding per kind of tensor: names that differ only in their numbers are counted instead of listed."""
    kinds: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        pattern = re.sub(r"(?<=\.)\d+(?=\.)", "*", finding.name)
        kinds.setdefault((finding.kind, pattern, finding.needed), []).append(finding)
    return [
        found[0] if len(found) == 1 else Finding(kind, f"{pattern} ({len(found)} tensors)", needed)
        for (kind, pattern, needed), found in kinds.items()
    ]


class UnsupportedModelError(CheckpointError):
    """The files are sound but describe something that has no layer program; every such thing is named."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        shown = "; ".join(f"{f.kind} {f.name} (needed: {f.needed})" for f in findings[:6])
        more = f"; and {len(findings) - 6} more" if len(findings) > 6 else ""
        super().__init__(f"this model is not supported: {shown}{more}")
        self.findings = tuple(findings)


class TokenizerError(ModelError, BadInputError):
    """The tokenizer cannot be built, or text or ids cannot be converted."""


class ChatTemplateError(TokenizerError):
    """The chat template is absent, rejects the messages, or is itself wrong."""


class UnusableTemplateError(ChatTemplateError):
    """No conversation can be rendered: the chat template itself does not parse."""


class ImportCheckError(ModelError, BadInputError):
    """An import differs from what the reference library makes of the same files."""


class UnusableReferenceError(ImportCheckError):
    """The reference library itself makes nothing of the files."""


class MissingReferenceError(ModelError, EnvironmentMissingError):
    """The library that imports are checked against is not installed."""


class QuantiseError(ModelError, BadInputError):
    """A weight does not fit the integer widths of the layer program."""


class ProfileError(ModelError, BadInputError):
    """A file is no Fisher profile of the model."""


class ModelNotFoundError(ModelError, NotFoundError):
    """No model of that name is built in or imported."""


class ModelFileError(ModelError, BadInputError):
    """A saved integer model is incomplete, inconsistent or of another format version."""


class ModelHashError(ModelFileError):
    """A saved integer model does not hash to what its manifest says."""

    def __init__(self, path: str, expected: str, found: str) -> None:
        super().__init__(f"{path} hashes to {found} but the manifest says {expected}; import the model again")
        self.path, self.expected, self.found = path, expected, found


class SequenceTooLongError(ModelError, BadInputError):
    """Prompt and output together exceed the positions for which the model has rotary tables."""

    def __init__(self, length: int, max_positions: int) -> None:
        super().__init__(
            f"{length} tokens do not fit the model's {max_positions} positions; shorten the text"
        )
        self.length, self.max_positions = length, max_positions


class TokenError(ModelError, BadInputError):
    """A token id lies outside the vocabulary, or the sequence is empty."""


class UnknownArithmeticError(ModelError, BadInputError):
    """No arithmetic of that name is measured beside the integers."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"{name!r} is no arithmetic to measure beside; there are {', '.join(known)}")
        self.name, self.known = name, tuple(known)


class GenerationCancelledError(ModelError):
    """The caller asked a running generation to stop."""


class UnknownDeviceError(ModelError, UsageError):
    """A device has a name that none has."""

    def __init__(self, name: str) -> None:
        super().__init__(f"device {name!r} is unknown; say cpu, cuda or cuda:N, or leave it out")
        self.name = name


class MissingTorchError(ModelError, EnvironmentMissingError):
    """A device was asked for, and torch is not installed."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"device {name} needs torch, which is not installed; run pip install 'gainsay[torch]', or leave the device out"
        )


class MissingDeviceError(ModelError, EnvironmentMissingError):
    """torch does not find the device."""

    def __init__(self, name: str, version: str, count: int) -> None:
        found = {0: "no CUDA device", 1: "one CUDA device, cuda:0"}.get(
            count, f"CUDA devices 0 to {count - 1}"
        )
        super().__init__(
            f"device {name} is not there: torch {version} finds {found}; name another, leave the device out, or "
            "install a torch that is built for this machine's driver"
        )
        self.name = name
