"""Where long-running programs write their log lines: never a reason to end."""

from __future__ import annotations

from typing import TextIO

import structlog


class LossyStream:
    """Drops what cannot be written: a full disk, a pipe that nobody reads any more.

    A loop that tells its failure in a log line would otherwise end in telling it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return


def lossy_loggers(stream: TextIO) -> structlog.PrintLoggerFactory:
    """structlog's loggers on a stream that may break."""
    return structlog.PrintLoggerFactory(LossyStream(stream))  # type: ignore[arg-type]
