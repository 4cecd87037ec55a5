"""What an operator does around the programs that run: deploy, keys, checks, watching."""
