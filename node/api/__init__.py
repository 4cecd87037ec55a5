"""The provider's HTTP API: OpenAI-compatible completions, receipts, operations, the settlement explorer."""
