"""LightGBM's and XGBoost's own files."""
