"""Deployment of the oracle hub: sources of every price, mock feeds behind them, signers and limits.

What is deployed for each source is remembered in the manifest (`Manifest.sources`), so that a run
that was interrupted continues, and `ape run oracle` finds the mock feeds to speak through.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import ape
from ape import project
from eth_utils import keccak

from scripts._configuration import FeedRules, Hub, to_wad

if TYPE_CHECKING:
    from scripts._deployment import _Run

COLLATERAL_FEEDS = 256
# Like Pyth on a chain: `getPrice` of a mock refuses what is older. No source asks it.
PYTH_VALID_SECONDS = 60
MARK, RATE = "-mark", "-rate"
SEQUENCER = "SequencerFeed"


def mock_signers() -> list[Any]:
    """Return the three test accounts that sign on local networks, ascending by address."""
    return sorted(
        list(ape.accounts.test_accounts)[7:10], key=lambda account: int(account.address, 16)
    )


def report_name(name: str) -> bytes:
    """Name of a price in signed reports."""
    return name.encode().ljust(32, b"\0")


class HubSteps:
    """Steps of a deployment that concern the hub.

    Parameters
    ----------
    run
        The deployment they belong to.
    """

    def __init__(self, run: "_Run") -> None:
        self.run = run
        self.hub: Hub = run.configuration.hub
        self.manifest = run.manifest

    def contracts(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Hub and signed reports, before whatever reads prices."""
        run = self.run
        yield "signed reports", lambda: run._deploy("SignedReports", run._at("Governance"))
        yield (
            "oracle hub",
            lambda: run._deploy(
                *("OracleHub", run._at("Governance"), run._at("Parameters")),
                run._at("SignedReports"),
            ),
        )

    def feeds(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Signers, sources and limits, once underlyings and collaterals have their ids."""
        yield "signers", self._set_signers
        if self.hub.sequencer:
            yield "sequencer feed", self._set_sequencer_feed
        c = self.run.configuration
        for symbol, underlying in c.underlyings.items():
            rules = self.hub.feeds[symbol]
            yield (
                f"feed {symbol}",
                lambda s=symbol, r=rules, u=underlying: self._set_feed(s, r, u.id),
            )
            yield f"surface {symbol}", lambda u=underlying: self._set_surface(u.id)
        for symbol, collateral in c.collaterals.items():
            name = symbol + RATE if symbol in c.underlyings else symbol
            rules, feed = self.hub.rates[symbol], COLLATERAL_FEEDS + collateral.asset
            yield f"rate {symbol}", lambda n=name, r=rules, f=feed: self._set_feed(n, r, f)

    def _set_signers(self) -> None:
        reports, rules = self.run._instance("SignedReports"), self.hub.signers
        if rules.members == "mock":
            members = [account.address for account in mock_signers()]
        else:
            members = sorted(map(self.run._member, rules.members), key=lambda a: int(a, 16))
        signers, threshold = reports.signers()
        if (list(signers), threshold) != (members, rules.threshold):
            self.run._call(reports, "setSigners", members, rules.threshold)

    def _set_sequencer_feed(self) -> None:
        """Let the clock of outages follow the uptime feed; a mock has decimals 0 as real ones."""
        run, parameters = self.run, self.run._parameters
        if self.hub.sequencer == "mock":
            run._deploy(SEQUENCER, 0, "sequencer", container="MockAggregator")
        else:
            self.manifest.contracts[SEQUENCER] = self.hub.sequencer
        wanted = (run._at(SEQUENCER), self.hub.grace_seconds)
        if (parameters.sequencerFeed(), parameters.graceSeconds()) != wanted:
            run._call(parameters, "setSequencerFeed", *wanted)

    def _set_surface(self, underlying: int) -> None:
        hub, wanted = self.run._instance("OracleHub"), self.hub.surface.struct()
        current = hub.surfaceParameters(underlying)
        if any(current[name] != value for name, value in wanted.items()):
            self.run._call(hub, "setSurface", underlying, wanted)

    def _set_feed(self, name: str, rules: FeedRules, feed: int) -> None:
        """Deploy the sources of a price that are not there yet, and tell the hub."""
        sources = [
            self._deploy_source(name, name, place, source)
            for place, source in enumerate(rules.sources)
        ]
        del self.manifest.sources.get(name, [])[len(sources) :]
        mark = self._deploy_source(name + MARK, name + MARK, 0, rules.mark) if rules.mark else None
        wanted = rules.struct(sources, mark)
        self.manifest.feeds[name] = feed
        hub = self.run._instance("OracleHub")
        if not _is_same(hub.feedParameters(feed), wanted):
            self.run._call(hub, "setFeed", feed, wanted)

    def _deploy_source(self, key: str, name: str, place: int, source: Any) -> str:
        """Deploy the adapter of one source, and its mock feed; return the adapter's address.

        `key` is where the manifest keeps it, `name` what its price is called.
        """
        entries = self.manifest.sources.setdefault(key, [])
        rules = source.model_dump(mode="json", exclude={"max_age"})
        if place < len(entries) and entries[place]["rules"] == rules:
            entry = entries[place]
        else:
            entry = {"rules": rules, "maxAge": source.max_age}
            entries[place : place + 1] = [entry]
        entry["maxAge"] = source.max_age
        if "source" not in entry:
            make = getattr(self, f"_deploy_{source.type}")
            entry["source"] = make(entry, name, source)
            self.run._save()
        return entry["source"]

    def _mock(self, entry: dict, contract: str, *arguments: Any) -> str:
        """Deploy the mock feed of a source unless an earlier run has, and remember it."""
        if "feed" not in entry:
            container = getattr(project, contract)
            entry["feed"] = self.run.account.deploy(container, *arguments).address
            self.run._save()
        return entry["feed"]

    def _adapter(self, contract: str, *arguments: Any) -> str:
        return self.run.account.deploy(getattr(project, contract), *arguments).address

    def _deploy_chainlink(self, entry: dict, name: str, source: Any) -> str:
        feed = source.address
        if source.is_mock:
            feed = self._mock(entry, "MockAggregator", source.decimals, name)
        return self._adapter("ChainlinkSource", feed, to_wad(source.deviation))

    def _deploy_pyth(self, entry: dict, name: str, source: Any) -> str:
        feed = self._shared_pyth() if source.is_mock else source.address
        entry["feed"], entry["id"] = feed, source.id or "0x" + keccak(text=name).hex()
        return self._adapter("PythSource", feed, entry["id"])

    def _shared_pyth(self) -> str:
        """One mock holds all prices, as the real one does."""
        self.run._deploy("MockPyth", PYTH_VALID_SECONDS, self.hub.pyth_update_fee)
        return self.run._at("MockPyth")

    def _deploy_signed(self, entry: dict, name: str, source: Any) -> str:
        entry["id"] = "0x" + report_name(name).hex()
        return self._adapter("SignedSource", self.run._at("SignedReports"), entry["id"])

    def _deploy_rate(self, entry: dict, name: str, source: Any) -> str:
        origin = source.address
        if source.is_mock:
            origin = self._mock(entry, "MockRateProvider", to_wad(source.rate))
        return self._adapter("CappedRateSource", origin, source.is_vault, to_wad(source.growth))

    def _deploy_cross(self, entry: dict, name: str, source: Any) -> str:
        legs = [
            self._deploy_source(f"{name} leg {place}", f"{name} leg {place}", 0, leg)
            for place, leg in enumerate(source.legs, 1)
        ]
        return self._adapter("CrossSource", *legs, source.is_quotient)


def _is_same(current: Any, wanted: dict[str, Any]) -> bool:
    """Whether the parameters of a feed, as the chain returns them, are those wanted."""
    there = {name: current[name] for name in wanted}
    there["sources"] = [tuple(row) for row in there["sources"]]
    there["markSource"] = tuple(there["markSource"])
    return there == wanted
