"""Posts prices and surfaces to whatever a deployment takes its prices from.

To a `MarketDataFeed` in one transaction, as its poster. To an `OracleHub` through those of its
sources that a person can speak through: reports signed by the hub's signers, and, on a local
network, mock feeds. Real feeds speak for themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ape import project
from ape.api import AccountAPI

from oracle_mock.market import InvalidSnapshotError, Snapshot, pack_svi, to_price, to_wad
from oracle_mock.pusher import HubPusher
from oracle_mock.sources import MARK, RATE, Reading, Step
from reference_model.types import WAD
from scripts._deployment import Deployment
from scripts.keeping.chain import Chain, Refusal, methods
from scripts.keeping.files import FileError, PriceRow, SliceRow, require_known


@dataclass
class Poster:
    """Posts to the market data of one deployment.

    Attributes
    ----------
    chain, deployment
        Where to.
    sender
        Account that pays, and holds the poster's role where one is needed.
    signers
        Accounts that sign reports.
    """

    chain: Chain
    deployment: Deployment
    sender: AccountAPI
    signers: Sequence[AccountAPI]

    @property
    def is_hub(self) -> bool:
        return self.deployment.manifest.market_data == "OracleHub"

    # --------------------------------------------------------------------------------- prices

    def names(self) -> list[str]:
        """Prices that there are."""
        manifest = self.deployment.manifest
        if self.is_hub:
            return [name for name in manifest.feeds if self._spoken(name)]
        return [*manifest.underlyings, *self._rate_names()]

    def _rate_names(self) -> dict[str, int]:
        """Collateral by the name of its price."""
        manifest = self.deployment.manifest
        return {
            symbol + RATE if symbol in manifest.underlyings else symbol: asset
            for symbol, asset in manifest.assets.items()
            if asset
        }

    def check_prices(self, path: Path, rows: Sequence[PriceRow]) -> None:
        """Require that every price can be posted."""
        require_known(path, rows, "name", self.names())
        if self.is_hub and any(
            entry["rules"]["type"] == "signed"
            for row in rows
            for name in (row.name, row.name + MARK)
            for _, entry in self._spoken(name)
        ):
            self._require_signers()

    def post_prices(self, rows: Sequence[PriceRow], now: int) -> None:
        """Post prices; those without a time are of now."""
        if self.is_hub:
            self._speak(rows, now)
        else:
            self._post(rows, now)

    def _post(self, rows: Sequence[PriceRow], now: int) -> None:
        """Tell a `MarketDataFeed`."""
        underlyings, assets = self.deployment.manifest.underlyings, self._rate_names()
        spots, rates = [], []
        for row in rows:
            price, stable = row.price, row.stable or row.price
            if row.name in underlyings:
                values = price, row.confidence, row.mark or price, stable
                spots.append((underlyings[row.name], *map(to_wad, values), row.time or now))
            else:
                rates.append((assets[row.name], to_wad(price), to_wad(stable), row.time or now))
        self._send("post", spots, [], rates, [])

    def _spoken(self, name: str) -> list[tuple[int, dict]]:
        """Sources of a price that can be spoken through, by their place."""
        return [
            (place, entry)
            for place, entry in enumerate(self.deployment.manifest.sources.get(name, ()), 1)
            if self._is_spoken(name, entry)
        ]

    def _is_spoken(self, name: str, entry: dict) -> bool:
        rules = entry["rules"]
        if rules["type"] == "signed":
            return True
        if rules["type"] == "cross":
            sources = self.deployment.manifest.sources
            legs = [leg for i in (1, 2) for leg in sources.get(f"{name} leg {i}", ())]
            return bool(legs) and all(self._is_spoken(name, leg) for leg in legs)
        return rules.get("address") == "mock"

    def _require_signers(self) -> None:
        hub = self.deployment.market_data
        reports = project.SignedReports.at(hub.REPORTS())
        members, threshold = reports.signers()
        self.signers = [each for each in self.signers if each.address in members]
        if len(self.signers) < threshold:
            raise FileError(
                f"reports need {threshold} of the signatures of {', '.join(members)}, there are "
                f"{len(self.signers)}: name the accounts with --signer ALIAS"
            )

    def _speak(self, rows: Sequence[PriceRow], now: int) -> None:
        """Speak through the sources of a hub and let it observe."""
        manifest = self.deployment.manifest
        arrived = {}
        for row in rows:
            seen = row.time or now
            for name, price in ((row.name, row.price), (row.name + MARK, row.mark or row.price)):
                for place, _ in self._spoken(name):
                    # A round is known by its time: whoever pushes next is later.
                    reading = Reading(seen, price, row.confidence, seen)
                    arrived[name, place] = [(seen, reading)]
        feeds = {row.name: manifest.feeds[row.name] for row in rows}
        pusher = HubPusher(
            self.deployment.market_data, feeds, manifest.sources, self.sender, self.signers
        )
        pusher.push(Step(Snapshot(now, {}), arrived, False))
        if pusher.refused:
            raise FileError("the chain refused: " + ", ".join(pusher.refused))

    def price_in_force(self, name: str) -> float:
        """Price that the deployment goes by: a hub follows a jump step by step."""
        manifest, views = self.deployment.manifest, methods(self.deployment.market_data)
        if self.is_hub:
            (observation,) = self.chain.read(views["observation"](manifest.feeds[name]))
            return observation[0] / WAD
        if name in manifest.underlyings:
            return self.chain.read(views["spot"](manifest.underlyings[name]))[0] / WAD
        return self.chain.read(views["collateralRate"](self._rate_names()[name]))[0] / WAD

    # ------------------------------------------------------------------------------- surfaces

    def check_surface(self, path: Path, name: str, slices: Sequence[SliceRow]) -> None:
        """Require that every expiry of a surface is listed, and that its numbers fit."""
        self._columns(name, slices)
        underlying = self.deployment.manifest.underlyings[name]
        is_listed = methods(self.deployment.parameters)["isExpiryListed"]
        calls = [is_listed(underlying, row.expiry) for row in slices]
        for row, listed in zip(slices, self.chain.read_many(calls), strict=True):
            if isinstance(listed, Refusal) or not listed[0]:
                raise FileError(f"{path}: expiry {row.expiry} is not listed for {name}")

    def post_surface(self, name: str, slices: Sequence[SliceRow], now: int) -> None:
        """Post the slices of one underlying; the sender is its poster."""
        underlying, seen = self.deployment.manifest.underlyings[name], slices[0].time or now
        expiries, forwards, discounts, words = self._columns(name, slices)
        if self.is_hub:
            index = slices[0].index or self._index(underlying)
            ratios = [to_wad(row.forward / index) for row in slices]
            self._send("postSurface", (underlying, expiries, ratios, discounts, words, seen))
        else:
            columns = zip(expiries, forwards, discounts, words, strict=True)
            self._send("post", [], [(underlying, *column, seen) for column in columns], [], [])

    @staticmethod
    def _columns(name: str, slices: Sequence[SliceRow]) -> tuple[list[int], ...]:
        """Expiries, forwards, discounts and SVI words, as the contracts take them."""
        try:
            words = [pack_svi(row.svi) for row in slices]
            forwards = [to_price(row.forward, name) for row in slices]
        except InvalidSnapshotError as error:
            raise FileError(f"{name}: {error}") from error
        discounts = [to_wad(row.discount) for row in slices]
        return [row.expiry for row in slices], forwards, discounts, words

    def _index(self, underlying: int) -> float:
        row = self.chain.read(methods(self.deployment.market_data)["spot"](underlying))
        return row[0] / WAD

    def _send(self, name: str, *arguments: Any) -> None:
        """Send what the chain accepts; else say what it has against it."""
        contract = self.deployment.market_data
        call = methods(contract)[name](*arguments)
        (outcome,) = self.chain.read_many([call], None, self.sender.address)
        if isinstance(outcome, Refusal):
            raise FileError(f"the chain refuses {name}: {outcome}")
        getattr(contract, name)(*arguments, sender=self.sender)
