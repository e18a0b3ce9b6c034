"""A process without rights, in which strange files are opened."""
