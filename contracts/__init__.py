"""The protocol on chain: Solidity sources, their Python bindings, and the honest player."""
