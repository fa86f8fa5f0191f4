"""The exact layer: the contracts' own steps, rounding and errors in Python integers."""
