"""Validating a model in a sandbox before it is published."""
