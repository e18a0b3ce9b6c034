"""Models, versions and aliases as rows, and what processes report of those that they serve."""
