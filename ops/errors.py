"""What an operator meets: each is one sentence that says what to do."""

from __future__ import annotations

from prover.errors import BadInputError, ChainError, UsageError


class ParameterFileError(BadInputError):
    """The parameter file of a deployment is malformed; the message names the field."""


class DeploymentRefused(UsageError):
    """A deployment was not begun, or cannot be carried on like this."""


class DeploymentDiffers(ChainError):
    """What lies on chain is not what the record and this release say."""


class BackupRefused(BadInputError):
    """Nothing was copied, or nothing was restored; the message says why, and what to do."""
