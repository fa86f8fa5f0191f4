"""The engine once more in Python: exactly in integers, and ideally in float64 numpy."""
