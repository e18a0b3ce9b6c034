"""One loaded model: rows in, an answer as JSON out, and where it is computed."""
