"""Whole tasks, trained from start to end: accuracy and time beside other libraries and published results."""
