"""Structured logs and metrics of a keeper."""

import logging
import sys
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


def configure_logs(form: str, level: str = "info") -> None:
    """Write one line per event to standard output, as JSON or for a terminal.

    Parameters
    ----------
    form
        ``json``, ``console``, or ``auto``: console on a terminal, else JSON.
    level
        Least level that is written.
    """
    if form == "auto":
        form = "console" if sys.stdout.isatty() else "json"
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,
    )


class Metrics:
    """What Prometheus may ask; a registry of its own, so that two keepers can share a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"keeper_{name}", text, registry=self.registry)

        self.block = gauge("block", "Block that accounts were margined at")
        self.lag = gauge("block_age_seconds", "Age of that block when it was margined")
        self.passed = gauge("last_pass_timestamp_seconds", "When a pass last came to its end")
        self.accounts = gauge("accounts", "Accounts known")
        self.below_initial = gauge("accounts_below_initial_margin", "Accounts below initial margin")
        self.candidates = gauge("candidates", "Accounts near or below maintenance margin")
        self.auctions = gauge("auctions", "Accounts in auction, as far as known")
        self.shortfall = gauge("shortfall_usd", "Sum of negative equities")
        self.equity = gauge("bidder_equity_usd", "Equity of the bidder's account")
        self.spare = gauge("bidder_spare_margin_usd", "Its initial equity above initial margin")
        self.margined = Histogram(
            *("keeper_margining_seconds", "Time to margin all accounts"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.pass_time = Histogram(
            *("keeper_pass_seconds", "Time of a whole pass"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.actions = Counter(
            "keeper_actions",
            "What was done, by what came of it",
            ["action", "outcome"],
            registry=self.registry,
        )
        self.spent = Counter("keeper_spent_usd", "Payments and gas", ["on"], registry=self.registry)
        self.reorganisations = Counter(
            "keeper_reorganisations", "Times the chain was not what it was", registry=self.registry
        )
        self.errors = Counter(
            "keeper_errors", "Passes that failed, by reason", ["reason"], registry=self.registry
        )

    def serve(self, port: int, address: str = "127.0.0.1") -> Any:
        """Answer on a port; return the server, which can be shut down."""
        server, _ = start_http_server(port, addr=address, registry=self.registry)
        return server
