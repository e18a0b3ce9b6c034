"""A Python class of the user's own."""
