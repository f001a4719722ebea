"""How training scales with ranks: measurements with injected latency, and a model of a step."""
