"""One scenario a file: each takes a site and options, measures, and returns its figures as JSON's types."""
