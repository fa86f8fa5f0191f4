"""The backtest: histories, runs, tables and pictures."""
