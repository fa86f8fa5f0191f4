"""The demonstration: real books through a real crash, checked by the models, told on one page."""
