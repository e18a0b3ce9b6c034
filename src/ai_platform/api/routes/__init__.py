"""The management routes: each reads a request, calls one thing below and answers."""
