"""Play paths with faults against a deployment: the player, its record, and the picture of it."""
