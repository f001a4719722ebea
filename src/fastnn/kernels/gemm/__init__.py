"""Matrix products: paths, loops, packed weights, and the products of a linear layer."""
