"""What `ape run keeper` is made of."""
