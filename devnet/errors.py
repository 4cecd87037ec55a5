"""What can go wrong with the local chain; each message says what to do."""

from __future__ import annotations

from prover.errors import EnvironmentMissingError


class DevnetError(EnvironmentMissingError):
    """Base of all errors of the devnet."""


class AnvilNotFound(DevnetError):
    """Anvil is not installed."""


class PortInUse(DevnetError):
    """Something else listens on the port."""


class AnvilDidNotStart(DevnetError):
    """Anvil ended or did not answer in time; the message quotes its log."""


class DevnetNotRunning(DevnetError):
    """There is no devnet in this folder, or its process is gone."""


class DevnetAlreadyRunning(DevnetError):
    """A devnet of this folder runs already."""
