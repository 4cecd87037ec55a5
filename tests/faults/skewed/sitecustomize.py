"""A machine whose clock is wrong: first in PYTHONPATH, it moves `time.time` by the seconds that a file says, whenever it says so."""

import os
import time

if _file := os.environ.get("GAINSAY_TEST_CLOCK_FILE"):
    _true_time = time.time

    def _skewed() -> float:
        try:
            with open(_file) as file:
                return _true_time() + float(file.read())
        except (OSError, ValueError):
            return _true_time()

    time.time = _skewed
