"""A real crash day with hundreds of accounts, keepers and the waterfall, counted to the wei."""
