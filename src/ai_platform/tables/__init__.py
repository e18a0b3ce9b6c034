"""Tables that people have in files: CSV, JSON and Parquet, told apart by their content and read row by row."""
