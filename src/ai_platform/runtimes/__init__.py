"""One file a format: load verified bytes, predict aligned outputs. Nothing here fetches or trusts anything."""
