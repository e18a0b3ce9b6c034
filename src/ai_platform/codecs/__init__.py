"""One protocol each: bytes to instances, outputs to bytes, and errors in the protocol's own form."""
