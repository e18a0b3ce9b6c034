"""AI Platform: machine-learning predictions over HTTP, synchronous in well under a millisecond or durable as jobs."""

from importlib.metadata import version

__version__ = version("ai-platform")
