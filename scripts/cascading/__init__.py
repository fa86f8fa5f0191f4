"""The cascade study: which runs it makes, how they are summed up and drawn."""
