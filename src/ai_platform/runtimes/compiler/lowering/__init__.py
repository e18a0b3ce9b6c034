"""From a fitted estimator to a graph of float64 arithmetic that answers as it does: one rule for each kind of step."""
