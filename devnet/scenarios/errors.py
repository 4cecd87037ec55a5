"""What can go wrong with a scenario; each message says what happened."""

from __future__ import annotations

from prover.errors import GainsayError, UsageError


class UnknownScenario(UsageError):
    """The named scenario does not exist."""


class ScenarioStuck(GainsayError):
    """Nobody moved for longer than anything can take."""


class ScenarioFailed(GainsayError):
    """A scenario did not end as it must."""


class AnswerMissing(GainsayError):
    """The provider's HTTP API did not answer as it should."""
