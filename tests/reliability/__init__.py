"""Nothing crashes, hangs or leaks: FASTNN_RELIABILITY=N multiplies the counts (docs/reliability.md)."""
