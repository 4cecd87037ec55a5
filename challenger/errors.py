"""What a challenger's user meets: each is one sentence that says what to do."""

from __future__ import annotations

from prover.errors import EnvironmentMissingError, GainsayError, ProofRejectedError, UsageError


class PolicyError(UsageError):
    """The policy's text is not one that the challenger knows."""


class StoreError(EnvironmentMissingError):
    """The challenger's database cannot be used."""


class ProviderUnreachable(GainsayError):
    """A provider did not answer, or not with what it should; try again later."""


class AuditNotAnswered(ProofRejectedError):
    """A provider refuses an audit, or does not prove what was named."""


class OverBudget(GainsayError):
    """A bond that the challenger's budgets do not allow now; tried again later."""


class LostTooManyGames(GainsayError):
    """The challenger stopped itself."""


class Stopped(Exception):
    """The program was asked to stop in the middle of a replay. No `GainsayError`: nothing was found out."""
