"""Gas of expected shortfall: the pass over the dates for eight underlyings full of options.

Every measurement starts cold. Dates are drawn as markets make them, with fat tails and moves in
common; books are of long and short options, priced by the exact model on every node.
"""

from random import Random

import ape
from ape.api import AccountAPI
from ape.contracts import ContractInstance
from eth_abi import decode

from reference_model import vectors
from reference_model.exact import profile, svi
from reference_model.exact.scenarios import SliceRisk
from reference_model.exact.shortfall import NODES, ONE
from reference_model.types import DAY, PPM, WAD, Exposure
from scripts._configuration import load_configuration
from scripts._deployment import Deployment

DATES = (250, 500, 1000)
UNDERLYINGS = (2, 4, 8)
PLACES = 8
OPTIONS = 8
DEVIATION = WAD // 30
INDEX = 1_000 * WAD


def measure(deployment: Deployment, probe: ContractInstance, sender: AccountAPI) -> dict[str, int]:
    """Gas of ``shortfallAt`` at the best hint (``gas.es``) and of ``measure`` (``gas.measure``).

    Underlyings are full of options, or (``linear``) without any.
    """
    estimator = deployment.volatility_estimator
    for underlying in range(len(estimator.basket()) + 1, PLACES + 1):
        estimator.addUnderlying(underlying, WAD, sender=sender)
    exposures = [_exposure(Random(place), place + 1, OPTIONS) for place in range(PLACES)]
    linear = [_exposure(Random(place), place + 1, 0) for place in range(PLACES)]
    figures = {}
    for dates in DATES:
        model = _published(deployment, dates, sender)
        for count in UNDERLYINGS:
            book = exposures[:count]
            key = f"{dates}x{count}"
            figures[f"gas.es.{key}"] = _gas(probe, model, "shortfallAt", book, _best(model, book))
            figures[f"gas.measure.{key}"] = _gas(probe, model, "measure", book)
        hint = _best(model, linear)
        figures[f"gas.es.linear.{dates}x{PLACES}"] = _gas(probe, model, "shortfallAt", linear, hint)
    return figures


def _published(deployment: Deployment, dates: int, sender: AccountAPI) -> ContractInstance:
    """Deploy a model of its own with as many dates in force."""
    model = sender.deploy(
        ape.project.PredictiveModel,
        deployment.governance,
        deployment.parameters,
        deployment.volatility_estimator,
        load_configuration().predictive.struct(),
    )
    model.publish(_words(Random(dates), dates), 0, PLACES, sender=sender)
    ramp = deployment.parameters.globalParameters().rampSeconds
    ape.chain.pending_timestamp = ape.chain.blocks.head.timestamp + ramp
    ape.chain.mine()
    return model


def _words(rng: Random, count: int) -> list[int]:
    z, y = [], []
    for _ in range(count):
        scale = max(0.2, rng.gammavariate(2, 0.5)) ** -0.5
        common = rng.gauss(0, scale)
        z.append([0.8 * common + 0.6 * rng.gauss(0, scale) for _ in range(PLACES)])
        y.append([-0.1 * move + 0.1 * rng.gauss(0, scale) for move in z[-1]])
    return vectors.encode(z, y)


def _exposure(rng: Random, underlying: int, count: int) -> Exposure:
    """Options of a month around the money, long and short, and a perpetual."""
    vol_moves = tuple(ONE + node.vol_ppm * ONE // (2 * PPM) for node in NODES)
    month = SliceRisk(INDEX, WAD, svi.pack(0.002, 0.01, -0.3, 0.0, 0.1), 0, vol_moves)
    options = [
        profile.Option(
            DAY,
            INDEX * rng.randrange(70, 140, 5) // 100,
            (-1) ** i * rng.randrange(10**4, 10**6) * WAD,
            rng.random() < 0.5,
            month,
        )
        for i in range(count)
    ]
    delta = sum(option.notional for option in options) // 2 or (-1) ** underlying * 10**6 * WAD
    return profile.exposure(underlying, DEVIATION, delta, delta, options, 2 * ONE, 0)


def _best(model: ContractInstance, book: list[Exposure]) -> int:
    """Return the loss of the last date of the tail."""
    losses = sorted(model.losses(book), reverse=True)
    share = model.parameters().tailShare
    last = -(-share * len(losses) // WAD)
    return max(0, losses[last - 1] - sum(exposure.slack for exposure in book))


def _gas(probe: ContractInstance, model: ContractInstance, view: str, *arguments) -> int:
    call = getattr(model, view).encode_input(*arguments)
    data = probe.measure.encode_input(model, call)
    answer = ape.networks.provider.web3.eth.call({"to": probe.address, "data": data})
    return decode(["uint256", "bytes"], bytes(answer))[0]
