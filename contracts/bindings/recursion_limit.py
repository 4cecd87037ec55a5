"""Keep Python's recursion limit where it was.

`py_ecc`, which `web3` and `eth_account` import for keystores of another kind, raises the limit of the whole process to
100,000. Then a recursion over foreign data (the standard library's JSON reader in a dependency, a regular expression,
`repr`) overruns the C stack, and the process dies of SIGSEGV where it would have got a RecursionError. A module's
body runs once, so importing it here, before anything else can, and setting the limit back is enough.
"""

from __future__ import annotations

import contextlib
import sys

PYTHONS_OWN = 1000


def keep_recursion_limit() -> None:
    """Import py_ecc and put the limit back; at most Python's own when somebody imported it before."""
    limit = PYTHONS_OWN if "py_ecc" in sys.modules else sys.getrecursionlimit()
    with contextlib.suppress(ModuleNotFoundError):
        import py_ecc  # noqa: F401
    sys.setrecursionlimit(limit)
