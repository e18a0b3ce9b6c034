"""Load generators: processes of their own that read a plan as JSON and print what they saw as JSON."""
