"""Arrays, threads, memory and dispatch: the base of every family of kernels."""
