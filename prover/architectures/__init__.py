"""Layer programs from a model configuration."""
