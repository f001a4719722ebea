"""Attention: forward, backward, decoding, rotary positions, additive scores, pooling."""
