"""Errors of the explorer."""

from __future__ import annotations

from prover.errors import EnvironmentMissingError


class CacheUnusableError(EnvironmentMissingError):
    """The file of the index belongs to another deployment, or is none."""
