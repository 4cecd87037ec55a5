"""A local chain with everything deployed, and the scenarios that run on it."""
