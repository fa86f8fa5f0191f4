"""Every pure function of the contracts, thousands of packed cases in one call."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

from ape.contracts import ContractInstance
from eth_abi import encode

from reference_model.cases import around, drawn, log_uniform
from reference_model.exact import (
    black76,
    fees,
    fixed_point,
    funding,
    instrument,
    interest,
    ledger,
    normal,
    position,
    risk_model,
    svi,
    transcendental,
)
from reference_model.exact.errors import ModelError
from reference_model.exact.interest import InterestState
from reference_model.types import WAD, Assessment, InterestParameters
from scripts.fuzzing import chain
from scripts.fuzzing.campaign import Outcome

WORD = 2**256
OUTCOME_BYTES = 128
PAYLOAD_BYTES = 96
MAX_PRICE = 2**96 - 1
ONE_X64 = 2**64

Draw = Callable[[Random], int | tuple[int, ...]]


class PanicError(Exception):
    """Arithmetic that Solidity stops with a ``Panic``; `args` holds its code."""


# Drawing -------------------------------------------------------------------------------------


def between(low: int, high: int, *guards: int) -> Draw:
    """Integers of a range, its ends and its guards often."""
    return lambda rng: drawn(rng, low, high, *guards)


def magnitude(high: int) -> Draw:
    """Integers from 0 on, every number of digits alike, and the ends often."""

    def draw(rng: Random) -> int:
        if rng.random() < 0.1:
            return around(rng, rng.choice((0, high)), 0, high)
        return log_uniform(rng, 0, high)

    return draw


def signed(draw: Draw) -> Draw:
    """Either sign."""
    return lambda rng: rng.choice((-1, 1)) * draw(rng)


def slot(rng: Random) -> int:
    """Position slot of any kind, sizes and quotes up to their limits."""
    id_ = canonical(rng)
    size = signed(magnitude(position.SIZE_LIMIT - 1))(rng)
    quote = signed(magnitude(position.QUOTE_LIMIT - 1))(rng)
    return position.pack(id_, size, quote)


def canonical(rng: Random) -> int:
    """Instrument of any kind."""
    underlying = rng.randint(1, 255)
    kind = rng.randrange(3)
    if kind == 0:
        return instrument.perpetual(underlying)
    expiry = drawn(rng, 1, 2**32 - 1)
    if kind == 1:
        return instrument.future(underlying, expiry)
    strike_e8 = max(1, log_uniform(rng, 1, 2**64 - 1))
    return instrument.option(underlying, expiry, strike_e8, rng.random() < 0.5)


def nearly_canonical(rng: Random) -> int:
    """Instrument with, half of the time, one bit wrong."""
    return canonical(rng) ^ (rng.randrange(2) << rng.randrange(128))


def surface(rng: Random) -> int:
    """Any word is a slice; most have volatilities of this world."""
    if rng.random() < 0.2:
        return rng.randrange(WORD)
    return svi.pack(
        rng.uniform(-0.2, 2), rng.uniform(0, 2), rng.uniform(-1, 1), rng.uniform(-2, 2),
        rng.uniform(0, 2),
    )  # fmt: skip


def assessment(rng: Random) -> Assessment:
    """Assessment with equities at and next to every limit."""
    initial = magnitude(2**140)(rng)
    maintenance = drawn(rng, 0, initial)
    far = signed(magnitude(2**140))
    equity = rng.choice((0, maintenance)) + rng.choice((-1, 0, 1, far(rng)))
    initial_equity = rng.choice((initial + rng.randint(-1, 1), equity, far(rng)))
    return Assessment(equity, initial_equity, initial_equity, maintenance, initial, 0)


def lowered(rng: Random) -> tuple[int, ...]:
    """Assessment, and a maintenance margin of no more than it has."""
    before = assessment(rng)
    return (*before, drawn(rng, 0, before.maintenance_margin))


def before_and_after(rng: Random) -> tuple[int, ...]:
    """Two assessments, the later first, at and next to what is no riskier."""
    before = assessment(rng)
    margin = drawn(rng, 0, before.maintenance_margin + 1)
    least = ledger.least_equity(before, min(margin, before.maintenance_margin))
    after = assessment(rng)._replace(
        equity=least + rng.choice((-1, 0, 1, before.equity)), maintenance_margin=margin
    )
    return (*after, *before)


def ages(rng: Random) -> tuple[int, int, int]:
    """Time of a price, a time about when it is too old, and the age at which it is."""
    timestamp, max_age = drawn(rng, 0, 2**40), drawn(rng, 0, 2**32 - 1)
    return timestamp, around(rng, timestamp + max_age, 0, 2**41), max_age


def accrual_times(rng: Random) -> tuple[int, int]:
    """Time of the last accrual and of this one, which active time may have been set back to."""
    before = drawn(rng, 1, 2**39)
    return before, before + rng.choice((-1, 0, 1, magnitude(10**10)(rng)))


def expired(rng: Random) -> tuple[int, int]:
    """Slot and settlement price, often at the strike or next to it."""
    word, settled_at = slot(rng), between(1, MAX_PRICE)(rng)
    id_ = position.instrument(word)
    if instrument.is_option(id_) and rng.random() < 0.5:
        settled_at = around(rng, instrument.strike(id_), 1, MAX_PRICE)
    return word, settled_at


any_word = magnitude(WORD - 1)
any_signed = signed(magnitude(WORD // 2 - 1))
decimals = between(0, 24, 18)
price = between(1, MAX_PRICE)


# Expecting -----------------------------------------------------------------------------------


def fits(value: int, *, is_signed: bool = False) -> int:
    """Return the value, or stop where 256 bits would have."""
    low, high = (-WORD // 2, WORD // 2) if is_signed else (0, WORD)
    if not low <= value < high:
        raise PanicError(0x11)
    return value


def unsigned_product(result: Callable[[int, int], int]) -> Callable[[int, int], int]:
    """Expect a function of the product of two words."""
    return lambda a, b: (fits(a * b), result(a, b))[1]


def signed_product(result: Callable[[int, int], int]) -> Callable[[int, int], int]:
    """Expect a function of the product of two signed words."""
    return lambda a, b: (fits(a * b, is_signed=True), result(a, b))[1]


def ratio(result: Callable[[int, int], int]) -> Callable[[int, int], int]:
    """Expect a quotient in WAD of two words."""

    def expect(a: int, b: int) -> int:
        fits(a * WAD)
        if b == 0:
            raise PanicError(0x12)
        return fits(result(a, b))

    return expect


def accrue_interest(borrow, supply, debt, held, before, now, *rates) -> tuple[int, int, int]:
    """Indexes, and debt and time in one, after some time."""
    state = interest.accrue(
        InterestState(borrow, supply, debt, before), held, InterestParameters(*rates), now
    )
    return state.borrow_index, state.supply_index, state.total_debt | state.accrued_at << 128


def health(*words: int) -> int:
    """Health that an assessment shows."""
    return int(risk_model.health(Assessment(*words)))


def is_no_riskier(*words: int) -> int:
    """Whether an assessment, the first, is no riskier than another."""
    return int(ledger.is_risk_reducing(Assessment(*words[6:]), Assessment(*words[:6])))


def least_equity(*words: int) -> int:
    """Return what must be left of equity once the requirement, the last word, has fallen."""
    return ledger.least_equity(Assessment(*words[:6]), words[6])


def is_stale(timestamp: int, now: int, max_age: int) -> int:
    """Whether a price is too old."""
    return int(now - timestamp > max_age)


def apply_trade(before: int, size: int, price_: int) -> tuple[int, int]:
    """Slot after a trade, and premium paid; the contract leaves an empty slot its head."""
    id_ = position.instrument(before)
    amount = position.signed_amount(size, price_)
    after = position.apply_trade(id_, before, size, price_).slot
    return after or id_ << 128, amount if instrument.is_option(id_) else 0


def linear_value(slot_: int, price_: int) -> int:
    """Worth of a linear position."""
    return fixed_point.mul_down(position.size(slot_), price_) + position.quote(slot_)


def payoff(slot_: int, price_: int) -> int:
    """Worth of an expired position."""
    return linear_value(slot_, instrument.payoff(position.instrument(slot_), price_))


def net_of_funding(slot_: int, index: int) -> int:
    """Slot of a perpetual with funding taken into its quote."""
    size, quote = position.size(slot_), position.quote(slot_)
    return position.pack(position.instrument(slot_), size, quote - fixed_point.mul_up(size, index))


def settled(value: int, funds: int) -> int:
    """Part of a value that can be paid."""
    return max(value, -funds) if value < 0 else min(value, funds)


def unpack(slot_: int) -> tuple[int, int, int]:
    """Fields of a slot."""
    return position.instrument(slot_), position.size(slot_), position.quote(slot_)


def perpetual_slot(rng: Random) -> int:
    """Slot of a perpetual."""
    size = signed(magnitude(position.SIZE_LIMIT - 1))(rng)
    quote = signed(magnitude(position.QUOTE_LIMIT - 1))(rng)
    return position.pack(instrument.perpetual(rng.randint(1, 255)), size, quote)


def linear_slot(rng: Random) -> int:
    """Slot of a perpetual or future."""
    size = signed(magnitude(position.SIZE_LIMIT - 1))(rng)
    quote = signed(magnitude(position.QUOTE_LIMIT - 1))(rng)
    return position.pack(instrument.future(rng.randint(1, 255), rng.getrandbits(32)), size, quote)


def require_canonical(id_: int) -> tuple:
    """Nothing, or a refusal."""
    instrument.require_canonical(id_)
    return ()


# Subjects ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Formula:
    """A function of a harness, how to draw its arguments, and what the model makes of them.

    A draw of several words is of as many arguments, where one bears on the other.
    """

    signature: str
    draws: tuple[Draw, ...]
    expect: Callable[..., int | tuple[int, ...]]

    @property
    def name(self) -> str:
        """Name of the Solidity function."""
        return self.signature.partition("(")[0]


ASSESSMENT = "(int256,int256,int256,uint256,uint256,uint256)"

rate = between(0, 10 * WAD)
fraction = between(0, WAD)

MATHEMATICS = (
    Formula("mulDown(uint256,uint256)", (any_word,) * 2, unsigned_product(fixed_point.mul_down)),
    Formula("mulUp(uint256,uint256)", (any_word,) * 2, unsigned_product(fixed_point.mul_up)),
    Formula("divDown(uint256,uint256)", (any_word,) * 2, ratio(fixed_point.div_down)),
    Formula("divUp(uint256,uint256)", (any_word,) * 2, ratio(fixed_point.div_up)),
    Formula("mulDownSigned(int256,int256)", (any_signed,) * 2,
            signed_product(fixed_point.mul_down)),
    Formula("mulUpSigned(int256,int256)", (any_signed,) * 2, signed_product(fixed_point.mul_up)),
    Formula("mulToZero(int256,int256)", (any_signed,) * 2, signed_product(fixed_point.mul_to_zero)),
    Formula("sqrt(uint256)", (any_word,), fixed_point.sqrt),
    Formula("sqrtUp(uint256)", (any_word,), fixed_point.sqrt_up),
    Formula("toWadDown(uint256,uint8)", (magnitude(2**160), decimals), fixed_point.to_wad_down),
    Formula("toWadUp(uint256,uint8)", (magnitude(2**160), decimals), fixed_point.to_wad_up),
    Formula("toRawUp(uint256,uint8)", (magnitude(2**160), decimals), fixed_point.to_raw_up),
    Formula("lnX64(uint256)", (any_word,), transcendental.ln_x64),
    Formula("lnRatioX64(uint256,uint256)", (magnitude(2**128 - 1),) * 2,
            transcendental.ln_ratio_x64),
    Formula("expX64(int256)", (between(-70 * ONE_X64, 70 * ONE_X64, 64 * ONE_X64, -45 * ONE_X64),),
            transcendental.exp_x64),
    Formula("cdfX64(int256)", (signed(between(0, 16 * ONE_X64, 8 * ONE_X64)),), normal.cdf_x64),
    Formula("totalVariance(uint256,int256)", (surface, signed(magnitude(200 * ONE_X64))),
            svi.total_variance),
    Formula("totalDeviation(uint256,int256)", (surface, signed(magnitude(200 * ONE_X64))),
            svi.total_deviation),
    Formula("unitCall(uint256,int256,uint256)",
            (magnitude(2**128), signed(magnitude(90 * ONE_X64)), magnitude(16 * ONE_X64)),
            black76.unit_call),
)  # fmt: skip

LEDGER = (
    # The supply index never passes the borrow index.
    Formula("accrueInterest(uint88,uint88,uint128,uint128,uint40,uint40,(uint64,uint64,uint64,uint64,uint64))",
            (between(2**70, 2**88 - 1), between(WAD, 2**70), magnitude(2**110), magnitude(2**110),
             accrual_times, rate, rate, rate, between(WAD // 100, 99 * WAD // 100), fraction),
            accrue_interest),
    Formula("currentCash(int104,uint88,uint88,uint88)",
            (signed(magnitude(2**103 - 1)), between(0, 2**88 - 1, WAD), between(WAD, 2**88 - 1),
             between(WAD, 2**88 - 1)),
            interest.current_cash),
    # The engine never asks with a time of 0: the first accrual only starts the clock.
    Formula("fundingDue(uint256,uint256,uint256,uint256,uint256)",
            (between(2**30 - 172_800, 2**30), between(2**30 - 86_400, 2**30),
             between(2**30, 2**30 + 86_400), between(2**30 - 86_400, 2**30 + 86_400),
             between(1, 86_400, 3_600)),
            funding.due),
    Formula("accrueFunding(int256,uint256,uint256,uint256,uint256)",
            (signed(magnitude(2**111)), price, price, between(0, WAD // 10), between(0, 86_400)),
            funding.accrue),
    Formula("fee(uint256,uint256,uint256)",
            (magnitude(2**95), price, between(0, WAD // 100)), fees.fee),
    Formula("optionFee(uint256,uint256,uint256,uint256,uint256)",
            (magnitude(2**95), price, between(0, WAD // 100), magnitude(2**131),
             between(0, WAD // 2)),
            fees.option_fee),
    Formula("applyTrade(uint256,int256,int256)",
            (slot, signed(magnitude(2**96)), signed(magnitude(2**112))), apply_trade),
    Formula("linearValue(uint256,int256)",
            (linear_slot, signed(magnitude(2**112))), linear_value),
    Formula("payoff(uint256,uint256)", (expired,), payoff),
    Formula("netOfFunding(uint256,int256)",
            (perpetual_slot, signed(magnitude(2**111))), net_of_funding),
    Formula("settledAmount(int256,uint256)", (signed(magnitude(2**130)), magnitude(2**130)),
            settled),
    Formula("pack(uint128,int256,int256)",
            (canonical, signed(between(0, 2**96, 2**95)), signed(between(0, 2**112, 2**111))),
            position.pack),
    Formula("unpack(uint256)", (slot,), unpack),
    Formula("requireCanonical(uint128)", (nearly_canonical,), require_canonical),
    Formula(f"healthOf({ASSESSMENT})", (assessment,), health),
    Formula(f"isNoRiskier({ASSESSMENT},{ASSESSMENT})", (before_and_after,), is_no_riskier),
    Formula(f"leastEquity({ASSESSMENT},uint256)", (lowered,), least_equity),
    Formula("isStale(uint256,uint256,uint256)", (ages,), is_stale),
)  # fmt: skip


class FormulaSubject:
    """One function, many packed cases in a call of ``CaseMap.map``."""

    batch = 2_000

    def __init__(self, harness: ContractInstance, formula: Formula, weight: float) -> None:
        self.name = f"formula.{formula.name}"
        self.weight = weight
        self.harness = harness
        self.formula = formula
        self.selector = chain.selector_of(formula.signature)

    def draw(self, rng: Random, count: int) -> list[tuple[int, ...]]:
        """Arguments of so many calls."""
        return [tuple(_flat(draw(rng) for draw in self.formula.draws)) for _ in range(count)]

    def restore(self, plain: tuple) -> tuple[int, ...]:
        """Arguments are plain already."""
        return plain

    def ask(self, cases: list[tuple[int, ...]]) -> list[Outcome]:
        """One call, all outcomes."""
        words = len(cases[0])
        packed = b"".join((word % WORD).to_bytes(32, "big") for case in cases for word in case)
        arguments = encode(["bytes4", "uint256", "bytes"], [self.selector, words, packed])
        data = chain.selector_of("map(bytes4,uint256,bytes)") + arguments
        answer = chain.call(self.harness.address, data, now=2**31)
        outcomes = answer[64 : 64 + OUTCOME_BYTES * len(cases)]
        return [
            (outcomes[i + 31] == 1, outcomes[i + 32 : i + OUTCOME_BYTES])
            for i in range(0, len(outcomes), OUTCOME_BYTES)
        ]

    def expect(self, cases: list[tuple[int, ...]]) -> list[Outcome]:
        """The exact model's outcomes."""
        return [self._expect(case) for case in cases]

    def _expect(self, case: tuple[int, ...]) -> Outcome:
        try:
            result = self.formula.expect(*case)
        except ModelError as error:
            return False, _padded(chain.encode_error(error.name, error.arguments))
        except PanicError as panic:
            return False, _padded(chain.encode_error("Panic", panic.args))
        words = result if isinstance(result, tuple) else (result,)
        return True, _padded(b"".join((int(word) % WORD).to_bytes(32, "big") for word in words))

    def smaller(self, case: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Nothing: a call of one function is small as it is."""
        return iter(())

    def describe(self, outcome: Outcome) -> str:
        """Words or error."""
        ok, data = outcome
        if ok:
            words = [int.from_bytes(data[i : i + 32], "big") for i in range(0, PAYLOAD_BYTES, 32)]
            return ", ".join(str(word) for word in words)
        return chain.describe(False, data, [])


def _flat(words: Iterable[int | tuple[int, ...]]) -> Iterator[int]:
    for word in words:
        yield from word if isinstance(word, tuple) else (word,)


def _padded(data: bytes) -> bytes:
    return data[:PAYLOAD_BYTES].ljust(PAYLOAD_BYTES, b"\0")
