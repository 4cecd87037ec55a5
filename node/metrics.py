"""Prometheus figures of one node, in a registry of their own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Counters that the node increments and gauges that are read when they are asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "gainsay_http_requests", "HTTP requests", ["route", "status"], registry=self.registry
        )
        self._responses = Counter("gainsay_responses", "Answers with a receipt", registry=self.registry)
        self._tokens = Counter(
            "gainsay_tokens", "Tokens of answered requests", ["kind"], registry=self.registry
        )
        self._generation = Histogram(
            "gainsay_generation_seconds", "Time of one generation", registry=self.registry,
            buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300),
        )  # fmt: skip
        self._receipt = Histogram(
            "gainsay_receipt_seconds", "Time to place and sign one receipt", registry=self.registry,
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5),
        )  # fmt: skip
        self.batches_posted = Counter("gainsay_batches_posted", "Batches posted", registry=self.registry)
        self.moves = Counter(
            "gainsay_defence_moves", "Moves sent in disputes", ["move"], registry=self.registry
        )
        self.audit_items = Counter(
            "gainsay_audit_items_proven",
            "Items of audits proven on chain",
            ["target"],
            registry=self.registry,
        )
        self.failures = Counter(
            "gainsay_background_failures", "Failed rounds of a background worker", ["worker"],
            registry=self.registry,
        )  # fmt: skip

        self.key_refusals = Counter(
            "gainsay_api_key_refusals",
            "Requests refused for their API key",
            ["reason"],
            registry=self.registry,
        )

    def request(self, route: str, status: int) -> None:
        self._requests.labels(route, str(status)).inc()

    def answered(self, prompt: int, output: int, generation_s: float, receipt_s: float) -> None:
        self._responses.inc()
        self._tokens.labels("prompt").inc(prompt)
        self._tokens.labels("output").inc(output)
        self._generation.observe(generation_s)
        self._receipt.observe(receipt_s)

    def gauge(self, name: str, help: str, value: Callable[[], float]) -> None:
        """A figure that is computed when it is scraped."""
        Gauge(name, help, registry=self.registry).set_function(value)
