"""The ideal layer: the specification's formulas in float64 numpy, without rounding."""
