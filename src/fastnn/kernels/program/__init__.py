"""Networks that run in one call."""
