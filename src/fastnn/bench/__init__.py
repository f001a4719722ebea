"""Compare fastnn with other libraries and with the limits of the machine: `fastnn bench`.

`families` has the cases and every library's implementation, `worker` runs one library in a
process, `runner` gives the workers their turns, `results` holds what they measured, and `report`
prints it. The workers of peers load this package without importing fastnn.
"""
