"""Inputs: from body bytes to instances that a model's signature admits; the one check, at publishing and in service."""
