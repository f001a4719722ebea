"""Arrays, threads, memory and dispatch: what every family of kernels stands on."""
