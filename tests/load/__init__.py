"""Started programs under load for as long as is asked for."""
