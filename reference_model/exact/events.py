"""What the contracts say about what they did.

Source: specification, section 14 and Market data; declared in ``contracts/interfaces``.
"""

from typing import NamedTuple


class Event(NamedTuple):
    """An event of a contract with its values in the order of their declaration."""

    name: str
    values: tuple
