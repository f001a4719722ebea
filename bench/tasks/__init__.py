"""Whole tasks: accuracy and time of a training run, beside other libraries and published results."""
