"""What all runtimes share: the interface, signatures, cells, sample columns."""
