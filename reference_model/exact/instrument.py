"""Packed instrument ids.

Source: specification, section 3.
"""

from reference_model.exact.errors import UnknownInstrument


def perpetual(underlying: int) -> int:
    """Id of the perpetual of an underlying."""
    return underlying << 120


def future(underlying: int, expiry: int) -> int:
    """Id of a dated future; `expiry` in Unix seconds."""
    return underlying << 120 | expiry << 88


def option(underlying: int, expiry: int, strike_e8: int, is_put: bool) -> int:
    """Id of a European option; `strike_e8` in 1e-8 USD."""
    return future(underlying, expiry) | 1 << 80 | strike_e8 << 16 | int(is_put) << 8


def underlying(instrument: int) -> int:
    """Underlying id."""
    return instrument >> 120


def expiry(instrument: int) -> int:
    """Unix seconds; 0 for a perpetual."""
    return instrument >> 88 & 0xFFFFFFFF


def is_option(instrument: int) -> bool:
    """Whether it is a call or a put."""
    return instrument >> 80 & 0xFF != 0


def is_put(instrument: int) -> bool:
    """Whether it is a put."""
    return instrument >> 8 & 0xFF != 0


def is_perpetual(instrument: int) -> bool:
    """Whether it never expires."""
    return expiry(instrument) == 0


def strike(instrument: int) -> int:
    """Strike, USD, WAD; 0 unless an option."""
    return _strike_e8(instrument) * 10**10


def payoff(instrument: int, price: int) -> int:
    """Payoff of one unit at settlement price `price`, USD, WAD; of a future, the price."""
    if not is_option(instrument):
        return price
    intrinsic = price - strike(instrument)
    return max(0, -intrinsic if is_put(instrument) else intrinsic)


def require_canonical(instrument: int) -> None:
    """Refuse bits that are those of no instrument.

    Raises
    ------
    UnknownInstrument
        Unless packing the decoded fields gives the same bits and none of them is missing.
    """
    fields = underlying(instrument), expiry(instrument)
    complete = fields[0] != 0
    canonical = future(*fields)
    if is_option(instrument):
        complete = complete and fields[1] != 0 and _strike_e8(instrument) != 0
        canonical = option(*fields, _strike_e8(instrument), is_put(instrument))
    if not complete or canonical != instrument:
        raise UnknownInstrument(instrument)


def _strike_e8(instrument: int) -> int:
    return instrument >> 16 & 0xFFFFFFFFFFFFFFFF
