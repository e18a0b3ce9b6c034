"""One prediction, whichever door it came through: resolve, check, run, record."""
