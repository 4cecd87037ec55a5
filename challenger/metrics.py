"""Prometheus figures of a challenger's judge: what waits, what was decided, and what closed before it was.

Served on 127.0.0.1 where `metrics_port` is set; the log says the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server


@dataclass(frozen=True)
class Backlog:
    """Never-judged responses. left_s: until the first of their windows closes; None where nothing waits."""

    responses: int
    positions: int
    needed_s: float
    left_s: int | None


class JudgeMetrics:
    """Counters that the judge increments, and gauges that are read when they are asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.backlog = Backlog(0, 0, 0.0, None)
        self.verdicts = Counter(
            "gainsay_challenger_verdicts", "Responses decided", ["judgement"], registry=self.registry
        )
        self.missed = Counter(
            "gainsay_challenger_missed", "Responses whose window closed before they were looked at",
            registry=self.registry,
        )  # fmt: skip
        self.unjudged = Counter(
            "gainsay_challenger_unjudged", "Drawn responses whose window closed without a verdict, by why", ["why"],
            registry=self.registry,
        )  # fmt: skip
        self.short = Gauge(
            "gainsay_challenger_short",
            "1 while not all that waits can be re-run in time",
            registry=self.registry,
        )
        self.together = Histogram(
            "gainsay_challenger_together", "Responses re-run in one pass", registry=self.registry,
            buckets=(2, 4, 8, 16, 32, 64),
        )  # fmt: skip
        self._gauge("gainsay_challenger_backlog", "Responses that wait", lambda: self.backlog.responses)
        self._gauge("gainsay_challenger_backlog_positions", "Their positions", lambda: self.backlog.positions)
        self._gauge(
            "gainsay_challenger_backlog_seconds",
            "What re-running them will take",
            lambda: self.backlog.needed_s,
        )
        self._gauge(
            "gainsay_challenger_window_seconds_left", "Until the first of their windows closes (NaN: nothing waits)",
            lambda: float("nan") if self.backlog.left_s is None else self.backlog.left_s,
        )  # fmt: skip

    def _gauge(self, name: str, help: str, value: object) -> None:
        Gauge(name, help, registry=self.registry).set_function(value)  # type: ignore[arg-type]

    def serve(self, port: int) -> None:
        """Raises OSError where the port is taken."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)
