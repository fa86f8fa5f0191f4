"""The demonstration from end to end, quickly: books, crash, fuzz campaign, report."""

import re

import pytest
from markupsafe import escape

from reference_model.types import WAD, Health
from scripts import demo
from scripts._deployment import deploy
from scripts._orders import account_of
from scripts.demonstration.books import BOOKS
from scripts.demonstration.ledger import Actors, Ledger
from scripts.demonstration.report import netted, predictive, saving
from scripts.demonstration.witnesses import Witnesses
from scripts.fuzzing.portfolios import market_of

LEAST_SAVING_OF_A_HEDGED_BOOK = 0.4
MAX_PICTURE_BYTES = 300_000
CASES = 600
DAY_ACCOUNTS = 20


@pytest.fixture(scope="module")
def actors(accounts):
    return Actors(*(accounts[i] for i in range(4)))


@pytest.fixture(scope="module")
def deployment(actors):
    return deploy(demo.configuration_without_expiries(), actors.deployer)


@pytest.fixture(scope="module")
def result(deployment, actors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "report"
    return demo.demonstrate(
        deployment, actors, demo.Settings(12, CASES, 1, folder, 20, demo.HOURLY)
    )


@pytest.fixture(scope="module")
def story(result):
    return result.story


@pytest.fixture
def ledger(deployment, actors, result):
    return Ledger(deployment, actors, moved_seconds=0)


@pytest.fixture
def everyone(actors):
    books = [account_of(actors.trader, i) for i in range(len(BOOKS))]
    return [*books, account_of(actors.market_maker)]


def book(name):
    return next(i for i, book in enumerate(BOOKS) if book.name == name)


def test_report_is_written_and_stands_alone(result):
    page = result.page.read_text(encoding="utf-8")
    for name in (book.name for book in BOOKS):
        assert name in page
    for check in result.day.checks:
        assert escape(check.what) in page
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert len(sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    picture = result.picture.read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) <= MAX_PICTURE_BYTES


def test_every_hedged_book_saves_a_good_part(story):
    for index, each in enumerate(BOOKS):
        if each.hedged:
            assert saving(story.opening.breakdowns[index], netted) > LEAST_SAVING_OF_A_HEDGED_BOOK


def test_cash_and_carry_saves_most_and_all_books_open_healthy(story):
    savings = [saving(breakdown, netted) for breakdown in story.opening.breakdowns]
    assert max(savings) == savings[book("cash and carry")]
    assert {story.opening.health(i) for i in range(len(BOOKS))} == {Health.HEALTHY}


def test_predictive_margin_is_shown_for_every_book_and_the_market_maker(story):
    for breakdown in story.opening.breakdowns:
        found = breakdown.predictive
        assert found.applies
        assert 0 < found.maintenance_margin < found.initial_margin == predictive(breakdown)
        assert max(found.shortfall, found.tail_risk) > 0


def test_portfolio_requirement_is_never_above_the_isolated_one(story):
    assert len(story.steps) == 7
    for step in story.steps:
        for breakdown in step.breakdowns:
            assert netted(breakdown) <= breakdown.isolated_initial_margin
            assert breakdown.assessment.initial_margin == netted(breakdown)


def test_unhedged_book_is_called_for_margin_and_a_hedge_would_help(story):
    strangle = book("short strangle")
    assert Health.MARGIN_CALL in {step.health(strangle) for step in story.steps}
    (asked,) = (w for w in story.what_ifs if w.book is BOOKS[strangle])
    assert asked.after.health == Health.HEALTHY
    margins = [b.assessment.maintenance_margin for b in (asked.before, asked.after)]
    assert margins[1] < margins[0]


def test_condor_settles_at_its_greatest_loss(story):
    """BTC ends below both puts: the spread between the strikes is lost, but for interest earned."""
    condor = book("iron condor")
    before, after = story.opening.breakdowns[condor], story.steps[-1].breakdowns[condor]
    assert after.assessment.initial_margin == 0
    assert after.derivative_value == 0
    lost = before.assessment.equity - before.derivative_value - after.assessment.equity
    spread = 20 * (74_000 - 70_000) * WAD
    assert spread - 100 * WAD < lost < spread


def test_both_models_confirm_every_state(story):
    assert story.compared == len(story.steps) * (len(BOOKS) + 1)
    assert story.disagreements == []


def test_one_unit_too_much_would_be_noticed(deployment, ledger, everyone):
    witnesses, market = Witnesses(ledger), market_of(deployment)
    portfolios, breakdowns = ledger.portfolios(everyone), ledger.breakdowns(everyone)
    witnesses.examine(market, portfolios, breakdowns)
    assert witnesses.disagreements == []
    wrong = [b._replace(collateral_value=b.collateral_value + 1) for b in breakdowns]
    witnesses.examine(market, portfolios, wrong)
    found = [text for text in witnesses.disagreements if text.startswith("exact model")]
    assert len(found) == len(everyone)


def test_cash_is_conserved_to_the_last_unit(story):
    assert story.unaccounted_cash == 0


def test_books_of_the_crash_day_balance_too(result):
    assert result.day.checks
    assert result.day.failures == []
    assert len(result.day.kinds) == DAY_ACCOUNTS
    assert 0 < len(result.day.predictive) < DAY_ACCOUNTS


def test_fuzz_campaign_covers_all_kinds_and_finds_nothing(result):
    assert {row.kind for row in result.fuzz} == {"formula", "portfolio", "prediction"}
    assert sum(row.cases for row in result.fuzz) >= CASES
    assert result.disagreements == 0


def test_an_account_left_out_would_be_noticed(ledger, everyone):
    assert ledger.unaccounted_cash(everyone) == 0
    assert ledger.unaccounted_cash(everyone[1:]) != 0
