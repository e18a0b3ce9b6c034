"""Durable predictions: the row in PostgreSQL is the truth, Redis carries a bell, every change of state is fenced."""
