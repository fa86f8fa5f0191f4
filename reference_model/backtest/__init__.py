"""The three generations of margin on the real histories of prices: what they covered and cost.

Source: docs/backtest.md.
"""
