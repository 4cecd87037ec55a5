"""Named tensors of one row per position that steps pass to one another."""

from __future__ import annotations

STREAM_ORDER = ("residual", "normalised", "keys", "values", "latent", "gates", "sum")
"""Every stream, in the order in which a boundary lists its roots and a statement its commitments."""
