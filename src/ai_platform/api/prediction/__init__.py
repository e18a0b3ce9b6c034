"""The prediction endpoints: the fast path, the slow path, and accepting jobs."""
