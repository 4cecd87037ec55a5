"""One file per operator: MEANING, BOUNDS, RELATIONS."""
