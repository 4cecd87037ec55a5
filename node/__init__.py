"""The provider: answers requests, signs receipts, posts batches and defends its responses."""
