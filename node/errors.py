"""Errors of the provider that a user meets: each is one sentence that says what to do."""

from __future__ import annotations

from prover.errors import (
    ChainError,
    EnvironmentMissingError,
    GainsayError,
    NotFoundError,
    ProofRejectedError,
    UsageError,
)


class ChainMismatchError(ChainError):
    """The chain that answers is not the one that the settings describe."""


class ModelNotRegisteredError(ChainError):
    """The model that would be served is not in the registry, so its responses could not be disputed."""


class ReleaseMismatchError(ChainError):
    """The verifiers on chain do not accept what this release proves."""


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


class AuditLostError(GainsayError):
    """An audit on chain that this node cannot answer as it runs; the message says what has to change."""


class AuditRefusedError(UsageError):
    """An audit that this provider does not take. code: public, too_many, wrong_key, too_late or twice."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnknownReceiptError(NotFoundError):
    """No receipt or response has this id."""


class UnknownSettlementError(NotFoundError):
    """The chain has no batch or dispute of this number."""


def error_sentence(error: BaseException) -> str:
    """What a log, a status or a caller is told about a failure: `readyz` says it to everybody, so nothing of an unforeseen one but its type."""
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, GainsayError):
        return text
    if isinstance(error, OSError):
        return f"this machine refused: {text}; check its disk, its folders and its limits"
    return f"unexpected {type(error).__name__}; the log says where it came from"


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


class AnswerGivenUpError(NotReadyError):
    """The caller of an answer left, or took too long to read it, before its receipt was written."""

    def __init__(self) -> None:
        super().__init__("this answer was given up because its caller left or read too slowly")


class KeyLimitError(GainsayError):
    """An API key has used up what it may. retry_after_s: None where waiting does not help."""

    def __init__(self, reason: str, retry_after_s: int | None) -> None:
        super().__init__(reason if retry_after_s is None else f"{reason}; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class PaymentRefusedError(GainsayError):
    """A request is not paid for; `code` says why in a word that programs know."""

    def __init__(self, code: str, reason: str, payer: str | None = None) -> None:
        super().__init__(reason)
        self.code, self.payer = code, payer


class VoucherTooLowError(PaymentRefusedError):
    """The voucher does not cover this request beside those that it paid for already."""

    def __init__(self, cumulative: int, due: int) -> None:
        super().__init__(
            "voucher_too_low",
            f"the voucher's cumulative amount is {cumulative}, but {due} is due with this request; sign a voucher over {due}",
        )
        self.due = due


class PaymentTermsError(ChainError):
    """A provider asks for another payment than the payer agreed to."""


class SpendingLimitError(UsageError):
    """A payment would exceed a limit that the payer set."""


class WalletError(EnvironmentMissingError):
    """The file in which a payer remembers what it signed cannot be used."""
