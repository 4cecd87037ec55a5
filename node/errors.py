"""Errors of the provider that a user meets: each is one sentence that says what to do."""

from __future__ import annotations

from prover.errors import ChainError, EnvironmentMissingError, GainsayError, NotFoundError, ProofRejectedError


class ChainMismatchError(ChainError):
    """The chain that answers is not the one that the settings describe."""


class ModelNotRegisteredError(ChainError):
    """The model that would be served is not in the registry, so its responses could not be disputed."""


class StakeMissingError(ChainError):
    """The provider has too little free stake or ether to back a single response."""


class KeyNotNamedError(ChainError):
    """The provider's owner did not name the node's account or its receipt key, or does not any more."""


class DatabaseError(EnvironmentMissingError):
    """The database cannot be opened, or belongs to another deployment."""


class PortInUseError(EnvironmentMissingError):
    """Another program listens on the port."""


class ReceiptNotValidError(ProofRejectedError):
    """A receipt with which nothing can be claimed from its provider."""


class UnknownReceiptError(NotFoundError):
    """No receipt or response has this id."""


class UnknownSettlementError(NotFoundError):
    """The chain has no batch or dispute of this number."""


def error_sentence(error: BaseException) -> str:
    """What a log, a status or a caller is told about a failure."""
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, GainsayError):
        return text
    if isinstance(error, OSError):
        return f"this machine refused: {text}; check its disk, its folders and its limits"
    return f"unexpected {type(error).__name__}: {text}"


class QueueFullError(GainsayError):
    """As many requests wait as the queue may hold."""

    def __init__(self, waiting: int, retry_after_s: int) -> None:
        super().__init__(f"{waiting} requests are waiting already; try again in {retry_after_s} s")
        self.waiting, self.retry_after_s = waiting, retry_after_s


class NotReadyError(GainsayError):
    """The node cannot back an answer now."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the provider is not ready: {reason}")
        self.reason = reason
