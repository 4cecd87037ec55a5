"""An observation as Prometheus figures. Their names are what the alert rules and the dashboard ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .monitor import Alert, Observation


class MonitorMetrics(Collector):
    """Collects whatever was seen last."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._seen: Observation | None = None
        self._alerts: Sequence[Alert] = ()
        self._failures = 0
        self.registry.register(self)

    def show(self, seen: Observation, alerts: Sequence[Alert]) -> None:
        self._seen, self._alerts = seen, alerts

    def failed(self) -> None:
        """A look that did not come to an end."""
        self._failures += 1

    def collect(self) -> Iterator[Metric]:
        failures = CounterMetricFamily("gainsay_monitor_failed_looks", "Looks that failed")
        failures.add_metric([], self._failures)
        yield failures
        if (seen := self._seen) is None:
            return
        yield _one("last_look_timestamp_seconds", "When the chain was looked at last", seen.taken_at)
        yield _one("head", "Newest block", seen.head)
        yield _one("head_age_seconds", "Age of the newest block", seen.head_age_s)
        yield _one("batches", "Batches ever posted", seen.batches)
        yield _one("overdue_batches", "Batches whose locks could be released", seen.overdue_batches)
        yield _one("vault_surplus_ether", "What the vault holds beyond what it owes", seen.surplus_wei / 1e18)
        yield _one("burned_ether", "Ether burned", seen.totals.burned / 1e18)
        yield _one("escrow_ether", "Bonds at stake", seen.totals.escrow / 1e18)
        yield _one("credits_ether", "Credits that nobody took yet", seen.totals.credits / 1e18)
        yield _one("disagreements", "Places where events and views differ", len(seen.disagreements))
        yield from self._of_games(seen)
        yield from self._of_accounts(seen)
        yield from self._of_nodes(seen)
        alerts = GaugeMetricFamily("gainsay_monitor_alert", "Alerts that hold", labels=["alert", "subject"])
        for alert in self._alerts:
            alerts.add_metric([alert.name, alert.subject], 1)
        yield alerts

    @staticmethod
    def _of_games(seen: Observation) -> Iterator[Metric]:
        left = GaugeMetricFamily(
            "gainsay_monitor_game_seconds_left",
            "Until the mover is out of time",
            labels=["game", "mover", "address"],
        )
        for game in seen.games:
            left.add_metric(
                [str(game.game_id), game.mover.name.lower(), game.mover_address], game.seconds_left
            )
        yield left
        ended = GaugeMetricFamily(
            "gainsay_monitor_games_ended", "Games that ended", labels=["outcome", "reason"]
        )
        for (outcome, reason), count in seen.ended.items():
            ended.add_metric([outcome, reason], count)
        yield ended
        demand = GaugeMetricFamily(
            "gainsay_monitor_demand_seconds_left",
            "Until a claimed receipt or an asked response costs a lock",
            labels=["kind", "name", "provider"],
        )
        for each in seen.demands:
            demand.add_metric([each.kind, each.name, each.provider], each.seconds_left)
        yield demand

    @staticmethod
    def _of_accounts(seen: Observation) -> Iterator[Metric]:
        names = {
            "stake_ether": "Stake of a provider", "locked_ether": "Locked by its answers", "free_ether": "Free for new answers",
            "provider_credits_ether": "To be withdrawn", "paused": "1 after a lost response, until it is resumed",
        }  # fmt: skip
        families = {
            name: GaugeMetricFamily(f"gainsay_monitor_{name}", text, labels=["provider"])
            for name, text in names.items()
        }
        balance = GaugeMetricFamily(
            "gainsay_monitor_balance_ether", "Ether of an account that sends", labels=["address"]
        )
        balances = {account.address: account.balance_wei for account in seen.others}
        for account in seen.providers:
            amounts = (account.stake_wei, account.locked_wei, account.free_wei, account.credits_wei)
            values = [amount / 1e18 for amount in amounts]
            for name, value in zip(names, [*values, float(account.paused)], strict=True):
                families[name].add_metric([account.address], value)
            if account.operator_balance_wei is None:
                balances[account.address] = account.balance_wei
            else:
                balances[account.operator] = account.operator_balance_wei
        for address, held in balances.items():
            balance.add_metric([address], held / 1e18)
        yield from families.values()
        yield balance

    @staticmethod
    def _of_nodes(seen: Observation) -> Iterator[Metric]:
        ready = GaugeMetricFamily("gainsay_monitor_node_ready", "1 when a node is ready", labels=["url"])
        left = GaugeMetricFamily(
            "gainsay_monitor_posting_seconds_left", "Until a node's earliest posting deadline", labels=["url"]
        )
        short = GaugeMetricFamily(
            "gainsay_monitor_stake_shortfall_ether", "What a node must deposit to post", labels=["url"]
        )
        for node in seen.nodes:
            ready.add_metric([node.url], float(node.reason is None))
            if (seconds := node.figures.get("gainsay_posting_seconds_left")) is not None:
                left.add_metric([node.url], seconds)
            if (ether := node.figures.get("gainsay_stake_shortfall_ether")) is not None:
                short.add_metric([node.url], ether)
        yield ready
        yield left
        yield short


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"gainsay_monitor_{name}", text, value=value)
