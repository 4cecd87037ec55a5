"""Static analysis of the contracts, with an answer to every finding."""
