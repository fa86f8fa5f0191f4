"""Differential fuzzing: the contracts against the exact model, case by case."""
