"""Making a model file with its signed manifest; the iris example. Nothing that serves imports this package."""
