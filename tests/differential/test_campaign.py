"""The fuzz campaign finds no disagreement, and finds every one that is put there."""

import json
from dataclasses import replace

import ape
import pytest

from reference_model.exact import charges, parametric, profile, risk_model, scenarios, shortfall
from reference_model.exact import fixed_point as fp
from reference_model.ideal import predictive as ideal_predictive
from scripts.fuzzing import campaign, formulas, market_data, subjects
from scripts.fuzzing.formulas import FormulaSubject
from scripts.fuzzing.portfolios import Portfolios, RevaluedPortfolios
from scripts.fuzzing.predictions import Predictions

MARKET_DATA = market_data.HUB + market_data.PARAMETERS
SEED = 20_261_121
ONE = 2**64


@pytest.fixture(scope="module")
def everything():
    return subjects.deploy(ape.accounts.test_accounts[0])


@pytest.fixture
def portfolios(everything):
    return next(s for s in everything if isinstance(s, Portfolios) and s.full)


@pytest.fixture
def predictions(everything):
    return next(s for s in everything if isinstance(s, Predictions))


def disagreements(subject, folder, cases):
    tallies = campaign.run([subject], cases, SEED, folder, quiet=True)
    return tallies[subject.name].disagreements


def test_contracts_and_exact_model_agree_on_every_outcome(everything, tmp_path):
    tallies = campaign.run(everything, 20_000, SEED, tmp_path, quiet=True)
    assert [text for tally in tallies.values() for text in tally.disagreements] == []
    assert sum(tally.cases for tally in tallies.values()) >= 19_900
    # Errors are compared as well as values.
    assert tallies["formula.mulUp"].errors > 50
    assert tallies["formula.requireCanonical"].errors > 50


def test_the_same_seed_draws_the_same_cases(everything, tmp_path):
    for subject in everything:
        first, second = (
            subject.draw(campaign.generator(SEED, subject.name, 0), 3) for _ in range(2)
        )
        assert first == second
    assert everything[0].draw(campaign.generator(SEED + 1, everything[0].name, 0), 3) != first


# A wrong twin of every formula: the mistake somebody could make.


def off_by_one(right):
    def twin(*arguments):
        result = right(*arguments)
        return (result[0] + 1, *result[1:]) if isinstance(result, tuple) else result + 1

    return twin


WRONG = {
    "mulDown": formulas.unsigned_product(fp.mul_up),
    "mulUp": formulas.unsigned_product(fp.mul_down),
    "divDown": formulas.ratio(fp.div_up),
    "divUp": formulas.ratio(fp.div_down),
    "mulDownSigned": formulas.signed_product(fp.mul_to_zero),
    "mulUpSigned": formulas.signed_product(fp.mul_down),
    "mulToZero": formulas.signed_product(fp.mul_down),
    "sqrt": fp.sqrt_up,
    "sqrtUp": fp.sqrt,
    "toWadDown": fp.to_wad_up,
    "toWadUp": fp.to_wad_down,
    "toRawUp": fp.to_raw_down,
    "payoff": formulas.linear_value,
    "settledAmount": lambda value, funds: value,
    "unpack": lambda slot: (*formulas.unpack(slot)[:2], 0),
    "requireCanonical": lambda instrument: (),
    "pack": lambda instrument, size, quote: instrument << 128 | size % 2**128,
    "optionFee": lambda size, index, rate, premium, cap: formulas.fees.fee(size, index, rate),
    "applyTrade": lambda slot, size, price: formulas.apply_trade(slot, -size, price),
    "linearValue": lambda slot, price: (
        fp.mul_to_zero(formulas.position.size(slot), price) + formulas.position.quote(slot)
    ),
    "netOfFunding": lambda slot, index: formulas.net_of_funding(slot, -index),
    "currentCash": lambda cash, index, borrow, supply: cash * borrow // index if index else cash,
    "accrueFunding": lambda f, mark, index, cap, dt: formulas.funding.accrue(
        f, index, mark, cap, dt
    ),
    "fundingDue": lambda since, *rest: formulas.funding.due(since + 1, *rest),
    "fee": lambda size, index, rate: fp.mul_down(fp.mul_down(size, index), rate),
    "accrueInterest": lambda *a: formulas.accrue_interest(*a[:6], a[7], a[6], *a[8:]),
    "healthOf": lambda *a: formulas.health(a[0] - 1, *a[1:]),
    "isNoRiskier": lambda *a: formulas.is_no_riskier(a[0] - 1, *a[1:]),
    "leastEquity": lambda equity, *a: equity - (a[2] - a[5]),
    "isStale": lambda timestamp, now, max_age: int(now - timestamp >= max_age),
    "cdfX64": lambda x: ONE - formulas.normal.cdf_x64(x),
    "totalVariance": lambda svi, k: formulas.svi.total_variance(svi, -k),
    "totalDeviation": lambda svi, k: formulas.svi.total_variance(svi, k),
    "unitCall": lambda ratio, log, s: formulas.black76.unit_call(ratio, -log, s),
    **{
        name: off_by_one(formula.expect)
        for name in ("lnX64", "lnRatioX64", "expX64")
        for formula in formulas.MATHEMATICS
        if formula.name == name
    },
    "aggregate": lambda count, *words: market_data.aggregate(max(1, count - 1), *words),
    "step": lambda stable, target, seconds, rate: market_data.stable_price.step(
        stable, target, min(seconds, 2 * 3_600), rate
    ),
    "clampAround": lambda value, centre, band: min(
        max(value, fp.mul_down(centre, 10**18 - band)), fp.mul_up(centre, 10**18 + band)
    ),
    "advance": lambda *a: market_data.advance(*a[:5], min(a[5], a[4] + 599)),
    "decayed": lambda svi, posted, expiry, now: market_data.decayed(svi, posted, expiry, posted),
    "forward": lambda index, ratio: max(1, min(fp.mul_up(index, ratio), 2**96 - 1)),
    "activeTime": lambda *a: a[5] - a[0],
    "isOutage": lambda *a: int(a[6] < max(a[2], a[3]) + a[5]),
    "declare": lambda *a: market_data.declare(*a[:5], a[5], a[6] + 1),
    "sync": lambda *a: market_data.sync(*a[:8], a[8], 0, *a[10:]),
    "between": lambda before, after, part, whole: before + (after - before) * part // whole,
    "moved": lambda start, goal, dt, rise, fall: market_data.scan_range.moved(
        start, goal, dt, fall, rise
    ),
    "target": fp.mul_down,
    "winsorised": lambda value, *a: abs(market_data.ewma.winsorised(value, *a)),
    "weightX64": lambda span, decay: ONE - market_data.ewma.weight_x64(span, decay),
    "updated": lambda c, a, b, *rest: market_data.ewma.update(c, a, a, *rest),
    "dailyDeviation": off_by_one(market_data.ewma.daily_deviation),
    "varianceOf": off_by_one(market_data.ewma.variance_of),
    "correlation": lambda c, v, w: fp.clamp(c * 10**18 // fp.sqrt(v * w), -(10**18), 10**18),
    "requireBoundedChange": lambda *a: market_data.require_bounded_change(*a[:6], 2 * a[6], *a[7:]),
}


@pytest.mark.parametrize(
    "name", [formula.name for formula in formulas.MATHEMATICS + formulas.LEDGER + MARKET_DATA]
)
def test_a_wrong_twin_of_a_formula_is_caught(everything, tmp_path, name):
    right = next(s for s in everything if s.name == f"formula.{name}")
    wrong = FormulaSubject(right.harness, replace(right.formula, expect=WRONG[name]), 1)
    found = disagreements(wrong, tmp_path, 300)
    assert found


def without_distance(deltas, basis_rate, error, now):
    return charges.mul_up(basis_rate, abs(sum(deltas.values())))


def without_weights(right):
    return lambda thing, moves, weights: right(thing, moves, (10**6,) * len(weights))


def put_as_call(right):
    return lambda size, instrument, *rest: right(size, instrument & ~(1 << 8), *rest)


def fully_correlated(results, market):
    market = market._replace(decorrelations=(0,) * 8)
    return RIGHT_GROUP_RISK(results, market)


RIGHT_GROUP_RISK = risk_model._group_risk

PORTFOLIO_TWINS = {
    "basis without distance": (charges, "basis", without_distance),
    "short options for free": (charges, "short_option", lambda size, rate, index: 0),
    "linear concentration": (charges, "concentration", lambda d, rate, depth: fp.mul_up(rate, d)),
    "confidence for free": (charges, "confidence", lambda delta, c, index: 0),
    "open interest for free": (charges, "open_interest", lambda *arguments: 0),
    "scan range to come for free": (charges, "scan_range", lambda *arguments: 0),
    "weights of a ramp in force at once": (
        scenarios,
        "in_force",
        lambda market: market.scenarios,
    ),
    "isolated losses without weights": (
        scenarios,
        "_own_loss",
        without_weights(scenarios._own_loss),
    ),
    "puts priced as calls": (scenarios, "option", put_as_call(scenarios.option)),
    "no price of decorrelation": (risk_model, "_group_risk", fully_correlated),
    "requirements rounded down": (risk_model, "mul_up", fp.mul_down),
    "volatility between two classes for free": (
        profile,
        "vol_errors",
        lambda strikes: (0, 0, 0),
    ),
    "tails that are all scenarios": (risk_model, "_in_tails", lambda result, moves: result),
    "deviation to come for free": (risk_model, "_deviation_charge", lambda *arguments: 0),
    "haircut forgotten": (
        risk_model,
        "_haircut_value",
        lambda amount, price, haircut: fp.mul_down(amount, price),
    ),
}


@pytest.mark.parametrize("twin", PORTFOLIO_TWINS)
def test_a_wrong_twin_of_margin_is_caught(portfolios, monkeypatch, tmp_path, twin):
    module, name, wrong = PORTFOLIO_TWINS[twin]
    monkeypatch.setattr(module, name, wrong)
    monkeypatch.setattr(portfolios, "smaller", lambda case: iter(()))
    assert disagreements(portfolios, tmp_path, 64)


RIGHT_MARGIN, RIGHT_CHARGES = parametric.margin, shortfall.charges


def without_gaps(exposure):
    right = RIGHT_CHARGES(exposure)
    return right._replace(gaps=tuple((0,) * len(gaps) for gaps in right.gaps))


PREDICTION_TWINS = {
    "the worst loss instead of the mean": (
        shortfall,
        "shortfall",
        lambda units, share: max(units, default=0),
    ),
    "a hint taken for the answer": (shortfall, "shortfall_at", lambda units, share, hint: hint),
    "the estimate for the box": (
        parametric,
        "margin",
        lambda exposures, correlation, width, floor: RIGHT_MARGIN(exposures, correlation, 0, floor),
    ),
    "no gamma": (parametric, "beyond_delta", lambda exposure: 0),
    "chords for tangents": (shortfall, "charges", without_gaps),
    "a coarser unit": (shortfall, "NODE_BITS", 50),
}


@pytest.mark.parametrize("twin", PREDICTION_TWINS)
def test_a_wrong_twin_of_predictive_margin_is_caught(predictions, monkeypatch, tmp_path, twin):
    module, name, wrong = PREDICTION_TWINS[twin]
    monkeypatch.setattr(module, name, wrong)
    monkeypatch.setattr(predictions, "smaller", lambda case: iter(()))
    assert disagreements(predictions, tmp_path, 128)


@pytest.mark.parametrize("share", [0.9, 1.1])
def test_a_wrong_revaluation_is_caught(everything, monkeypatch, share):
    """The chain is to be above a full revaluation, and not by more than its bound."""
    subject = next(s for s in everything if isinstance(s, RevaluedPortfolios))

    def off(batch):
        drawn = subject.draw(campaign.generator(SEED, subject.name, batch), 8)
        pairs = zip(subject.ask(drawn), subject.expect(drawn), strict=True)
        return [subject.describe(asked) for asked, expected in pairs if asked != expected]

    assert not any(off(batch) for batch in range(8))
    right = ideal_predictive.mean_of_worst
    monkeypatch.setattr(ideal_predictive, "mean_of_worst", lambda *args: share * right(*args))
    found = [text for batch in range(8) for text in off(batch)]
    assert found and all("predictive." in text for text in found)


def test_a_disagreement_is_kept_small_and_can_be_replayed(portfolios, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(charges, "short_option", lambda size, rate, index: 0)
        assert disagreements(portfolios, tmp_path, 16)
        file = next(tmp_path.iterdir())
        agree, text = campaign.replay([portfolios], file)
        assert not agree
        assert "contract:" in text and "model:" in text
    # One short option is all it takes.
    _, portfolio = json.loads(file.read_text())["case"]
    assert len(portfolio[3]) == 1
    assert campaign.replay([portfolios], file)[0]


def test_an_interrupted_campaign_goes_on_where_it_stopped(everything, tmp_path):
    subject = everything[0]
    whole = campaign.run([subject], 6_000, SEED, tmp_path, quiet=True)
    rest = campaign.run([subject], 6_000, SEED, tmp_path, first=1, quiet=True)
    assert whole[subject.name].cases - rest[subject.name].cases == subject.batch


class Interrupted:
    """Agrees with itself until somebody presses Ctrl-C in the third batch."""

    name, weight, batch = "portfolio.assess", 1.0, 10

    def __init__(self):
        self.batches = 0

    def draw(self, rng, count):
        return [rng.random() for _ in range(count)]

    def ask(self, cases):
        return [(True, b"")] * len(cases)

    def expect(self, cases):
        self.batches += 1
        if self.batches == 3:
            raise KeyboardInterrupt
        return self.ask(cases)


def test_interrupted_campaign_says_how_to_go_on(tmp_path, capsys):
    """What was left out of the command made another campaign of it."""
    subject = Interrupted()
    tallies = campaign.run([subject], 100, SEED, tmp_path, only="port", quiet=True)
    assert tallies[subject.name].cases == 20
    assert campaign.planned([subject], 100) == 100 and campaign.planned([subject], 100, 2) == 80
    again = f"make fuzz CASES=100 SEED={SEED} ARGS='--first 2 --only port'"
    assert again in capsys.readouterr().err
