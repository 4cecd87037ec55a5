"""The root of all errors that a user can meet, and the exit code of each kind.

A message is one sentence that says what to do. The command prints it and leaves with the kind's code:

    1  anything else          5  the chain refused, is unreachable or is not the expected one
    2  wrong usage            6  a proof was rejected
    3  something not found    7  something is missing from this machine
    4  malformed input        8  a value left the range in which the model is provable

Packages derive their own errors from these; `exit_code` is read from the class.
"""

from __future__ import annotations

from typing import Any, ClassVar


class GainsayError(Exception):
    """Base of every typed error. `str(error)` is one sentence for the user."""

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is, into another process: an exception is else made again with its message for the only argument."""
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[GainsayError], args: tuple[Any, ...]) -> GainsayError:
    return kind.__new__(kind, *args)


class UsageError(GainsayError):
    """Options or settings that contradict each other or make no sense."""

    exit_code = 2


class NotFoundError(GainsayError):
    """A named thing (model, batch, game, receipt, file) does not exist."""

    exit_code = 3


class BadInputError(GainsayError):
    """A file or a request is malformed."""

    exit_code = 4


class ChunkSizeError(BadInputError):
    """The SRS has a number of powers under which the argument would prove something else."""


class TransactionSizeError(BadInputError):
    """A move about the model would not fit a transaction, so its right answers could not be defended."""


class ChainError(GainsayError):
    """The chain refused a transaction, cannot be reached, or is not the one that was configured."""

    exit_code = 5


class ProofRejectedError(GainsayError):
    """A verifier did not accept a proof."""

    exit_code = 6


class EnvironmentMissingError(GainsayError):
    """A tool, a port or a resource that this machine should offer is missing."""

    exit_code = 7


class OutOfRangeError(GainsayError):
    """A value left the range in which the model is provable."""

    exit_code = 8
