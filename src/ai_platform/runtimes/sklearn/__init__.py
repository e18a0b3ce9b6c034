"""scikit-learn estimators, from pickles and from skops files."""
