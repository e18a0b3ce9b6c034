"""The terminal: each command reads settings, calls one room below, and shows what came back."""

from ai_platform.cli import doctor, models, parts, predict, ps, train, up
from ai_platform.cli.app import main

__all__ = ["doctor", "main", "models", "parts", "predict", "ps", "train", "up"]
