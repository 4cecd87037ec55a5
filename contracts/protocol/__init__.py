"""The protocol's rules in plain Python: hashes, trees, game state and the honest player. Knows no RPC."""
