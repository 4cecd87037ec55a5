"""Compile, deploy, read, write: the only place that speaks to a chain.

Modules are imported by name (`contracts.bindings.chain`, ...) so that light users stay light: nothing here
imports an HTTP client until a `Chain` is made.
"""

from .recursion_limit import keep_recursion_limit

keep_recursion_limit()
