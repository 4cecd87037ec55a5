"""Audits of private models: which steps of an answer must be proven. Knows no chain."""
