"""The Frobenius norm."""
