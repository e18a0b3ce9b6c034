"""From a row to a loaded model: hash, signature, trust, golden rows; the one loader."""
