"""Chat templates, rendered in processes of their own: a template may loop, recurse or grow without an end.

Neither a thread nor Jinja's sandbox can be stopped, and a template comes from a file that nobody checked. So a worker
renders it (`template_worker`), under limits of processor time and memory that the kernel enforces, and the
parent ends a worker that does not answer. Whatever happens is one ChatTemplateError.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ChatTemplateError, UnusableTemplateError

PROCESSOR_SECONDS = 1  # of one rendering; real templates take a few milliseconds
ANSWER_SECONDS = 20.0  # by the clock, on a busy machine
MOST_WORKERS = 4

_PROGRAM = Path(__file__).with_name("template_worker.py")


def render(template: str, variables: Mapping[str, Any]) -> str:
    """The text of a template. Raises UnusableTemplateError where it does not parse, ChatTemplateError otherwise."""
    request = {"template": template, "variables": dict(variables), "seconds": PROCESSOR_SECONDS}
    try:
        line = json.dumps(request).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise ChatTemplateError(
            f"the conversation is no JSON ({error}); send texts and plain objects"
        ) from error
    found = _workers.ask(line)
    if "text" in found:
        return str(found["text"])
    if not found["parses"]:
        raise UnusableTemplateError(f"the model's chat template does not parse: {found['error']}")
    raise ChatTemplateError(f"the model's chat template rejects this conversation: {found['error']}")


class _Worker:
    """One process, asked one thing at a time."""

    def __init__(self) -> None:
        # -P: its own folder holds modules with the names of the standard library's.
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the parent alone
        )

    def ask(self, line: bytes, deadline: float) -> dict[str, Any]:
        """Raises OSError when the process ends and TimeoutError when it does not answer; it is unfit afterwards."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        output, received = self.process.stdout.fileno(), bytearray()
        while not received.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([output], [], [], left)[0]:
                raise TimeoutError
            block = os.read(output, 1 << 20)
            if not block:
                raise BrokenPipeError
            received += block
        answer: dict[str, Any] = json.loads(received)
        return answer

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # bytes that the process never took
                    stream.close()


class _Workers:
    """At most MOST_WORKERS processes, kept for the next rendering."""

    def __init__(self) -> None:
        self.idle: list[_Worker] = []
        self.places = threading.BoundedSemaphore(MOST_WORKERS)

    def ask(self, line: bytes) -> dict[str, Any]:
        deadline = time.monotonic() + ANSWER_SECONDS
        if not self.places.acquire(timeout=ANSWER_SECONDS):
            raise ChatTemplateError("the model's chat template is busy with other conversations; try again")
        try:
            return self._ask(line, deadline)
        finally:
            self.places.release()

    def _ask(self, line: bytes, deadline: float) -> dict[str, Any]:
        worker = self._take()
        try:
            found = worker.ask(line, deadline)
        except TimeoutError:
            worker.end()
            raise ChatTemplateError(
                f"the model's chat template gave no text within {ANSWER_SECONDS:.0f} s; change the conversation"
            ) from None
        except OSError:
            worker.end()
            raise ChatTemplateError(
                f"the model's chat template ran longer than {PROCESSOR_SECONDS} s or took too much memory; "
                f"change the conversation"
            ) from None
        except BaseException:
            worker.end()
            raise
        self.idle.append(worker)
        return found

    def _take(self) -> _Worker:
        """An idle process that still lives (anybody may have ended it), or a new one."""
        # Other threads take from the list, too: it can be empty a moment after it was not.
        with contextlib.suppress(IndexError):
            while (worker := self.idle.pop()).process.poll() is not None:
                worker.end()
            return worker
        return _Worker()

    def close(self) -> None:
        while self.idle:
            self.idle.pop().end()


_workers = _Workers()


def _start_anew() -> None:
    """A forked child shares its parent's pipes and must not talk on them."""
    global _workers
    _workers = _Workers()


os.register_at_fork(after_in_child=_start_anew)
atexit.register(lambda: _workers.close())
