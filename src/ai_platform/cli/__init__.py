"""The terminal: each command reads settings, calls one package below, and shows what came back."""

from ai_platform.cli import audit, doctor, keys, parts, predictions, ps, train, up
from ai_platform.cli.app import main
from ai_platform.cli.models import commands as models
from ai_platform.cli.predict import command as predict

__all__ = ["audit", "doctor", "keys", "main", "models", "parts", "predict", "predictions", "ps", "train", "up"]
