"""Embedding: lookup of table rows by id, and its gradient."""
