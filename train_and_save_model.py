"""Train logistic regression on iris, save it as model.pkl with a signed manifest, publish it if the platform runs."""

from pathlib import Path

from ai_platform.cli.connections import settings_for
from ai_platform.cli.train import train_and_publish

if __name__ == "__main__":
    train_and_publish(settings_for(None), Path(__file__).with_name("model.pkl"))
