"""Durable predictions: the row in PostgreSQL is the truth, Redis only notifies, every change of state is fenced."""
