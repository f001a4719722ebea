"""Random calls of every function and layer, compared with the oracle of tests/oracle."""
