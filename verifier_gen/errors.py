"""What can go wrong when a verifier is generated."""

from __future__ import annotations

from prover.errors import BadInputError


class GeneratorError(BadInputError):
    """A layer program or an SRS has a shape that generated verifiers do not support."""
