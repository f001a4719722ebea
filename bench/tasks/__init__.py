"""Tasks with a published result, trained from start to end."""
