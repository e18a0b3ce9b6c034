"""The terminal: each command reads settings, calls one package below, and shows what came back."""

from ai_platform.cli import audit, doctor, keys, models, parts, predict, predictions, ps, train, up
from ai_platform.cli.app import main

__all__ = ["audit", "doctor", "keys", "main", "models", "parts", "predict", "predictions", "ps", "train", "up"]
