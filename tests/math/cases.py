"""Seeded random integers that reach every order of magnitude, and the edges besides."""

import numpy as np

ONE = 2**64
WAD = 10**18


def whole(rng: np.random.Generator, bits: int, count: int, signed: bool = False) -> list[int]:
    """Integers below 2^bits, every length equally likely."""
    lengths = rng.integers(0, bits, count, endpoint=True)
    values = []
    for length in lengths:
        value = int.from_bytes(rng.bytes(32), "big") >> 256 - int(length) if length else 0
        values.append(-value if signed and rng.random() < 0.5 else value)
    return values


def uniform(rng: np.random.Generator, low: float, high: float, count: int) -> list[int]:
    """Numbers in [low, high) as X64."""
    return [int(x * 2**53) * 2**11 for x in rng.uniform(low, high, count)]


def around(*places: int, reach: int = 2) -> list[int]:
    """Every integer up to `reach` away from the places."""
    return [place + offset for place in places for offset in range(-reach, reach + 1)]
