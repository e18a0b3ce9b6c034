"""`predict`: one prediction, or a file of rows."""
