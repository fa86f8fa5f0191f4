"""Liquidation cascades: many accounts, a shock, forced sales that move the price they are sold at.

`books` draws accounts and margins them as the ideal layer does, `market` says what volume does to
the price, `policies` how an account below maintenance is unwound, `simulation` plays a path. The
study made with it, and what it chose, is docs/cascade.md.
"""
