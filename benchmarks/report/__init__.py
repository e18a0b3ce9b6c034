"""The page that is published: made from the figures of all scenarios that were measured, and from nothing else."""
