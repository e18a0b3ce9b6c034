"""Compiling an estimator to a graph, and the checks that the graph predicts what the estimator does."""
