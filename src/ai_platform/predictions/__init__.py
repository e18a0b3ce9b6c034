"""One prediction, whichever endpoint it came through: resolve, check, run, record."""
