"""Layer program -> plan -> Solidity: one verifier per statement kind and architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generator import CONTRACTS, generate_sources

__all__ = ["CONTRACTS", "generate_sources"]


def __getattr__(name: str) -> Any:
    """The generator imports the prover's kernels, which the command line's help must not wait for."""
    if name in __all__:
        from . import generator

        return getattr(generator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
