"""Texts and conversations into token ids, in threads of their own.

Two megabytes of digits take seconds. They must hold up neither the event loop nor the threads that place and sign
answers, and a caller with a short prompt does not wait behind them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from prover.model.tokenizer import Tokenizer

from ..errors import QueueFullError

# Bytes of a body; a prompt of this length is read in about 0.1 s.
_LONG = 65_536
_SHORT_AT_A_TIME = 4  # conversations wait for the template's processes, of which there are as many
_MOST_LONG = 16
_RETRY_AFTER_S = 5


class PromptReader:
    """Ids of prompts: short ones a few at a time, long ones one by one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._short = ThreadPoolExecutor(_SHORT_AT_A_TIME, "prompts")
        self._long = ThreadPoolExecutor(1, "long prompts")
        self._long_waiting = 0

    async def text(self, text: str, body_bytes: int) -> list[int]:
        """Raises TokenizerError, and QueueFullError when too many long prompts wait."""
        return await self._read(lambda: self._tokenizer.encode(text), body_bytes)

    async def chat(self, messages: Sequence[Mapping[str, Any]], body_bytes: int) -> list[int]:
        """Raises ChatTemplateError, TokenizerError, and QueueFullError when too many long prompts wait."""
        return await self._read(lambda: self._tokenizer.encode_chat(messages), body_bytes)

    def close(self) -> None:
        """Whoever waits gets no answer: only for the end of the program."""
        self._short.shutdown(wait=False, cancel_futures=True)
        self._long.shutdown(wait=False, cancel_futures=True)

    async def _read(self, read: Callable[[], list[int]], body_bytes: int) -> list[int]:
        loop = asyncio.get_running_loop()
        if body_bytes <= _LONG:
            return await loop.run_in_executor(self._short, read)
        if self._long_waiting >= _MOST_LONG:
            raise QueueFullError(self._long_waiting, _RETRY_AFTER_S)
        self._long_waiting += 1
        try:
            return await loop.run_in_executor(self._long, read)
        finally:
            self._long_waiting -= 1
