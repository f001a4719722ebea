"""Whole tasks: accuracy and time beside other libraries and published results."""
