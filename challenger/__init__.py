"""The challenger: watches batches, re-runs responses, and disputes the wrong ones."""
