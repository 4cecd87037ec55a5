"""Where the node's log lines go, and from which level on."""

from __future__ import annotations

import logging
import sys

import structlog

from contracts.bindings.log_output import lossy_loggers


def configure_logging(verbose: bool = False) -> None:
    """Warnings, with `verbose` every step, to standard error. Programs that embed a provider call it too."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if verbose else logging.WARNING),
        logger_factory=lossy_loggers(sys.stderr),
    )
