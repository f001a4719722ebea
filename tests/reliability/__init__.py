"""No crash, hang or leak; FASTNN_RELIABILITY=N multiplies the counts (docs/reliability.md)."""
