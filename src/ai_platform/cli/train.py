"""`train`: fit the iris example, write `model.pkl` with its signed manifest, publish it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ai_platform.cli.app import app
from ai_platform.cli.connections import DataDir, settings_for
from ai_platform.errors import InvalidSettings, StorageUnavailable
from ai_platform.settings import Settings

console = Console(highlight=False)


@app.command()
def train(
    *,
    if_missing: Annotated[bool, typer.Option("--if-missing", help="Do nothing when a model is published.")] = False,
    output: Annotated[Path, typer.Option(help="Where to write the model file.")] = Path("model.pkl"),
    data_dir: DataDir = None,
) -> None:
    """Train the iris example, write it signed, and publish it as the next version if the platform runs."""
    settings = settings_for(data_dir)
    if if_missing:
        train_if_missing(settings)
    else:
        train_and_publish(settings, output)


def train_if_missing(settings: Settings) -> None:
    """Train and publish the example, unless the default model is published.

    Raises:
        ArtifactRefused: the signing key file holds no key.
        StorageUnavailable: PostgreSQL is away.
    """
    if _is_published(settings):
        console.print(f"{settings.models.default}: published already")
    else:
        train_and_publish(settings, settings.data_dir / "iris" / "model.pkl")


def train_and_publish(settings: Settings, output: Path) -> None:
    """Train, show the scores, write the file, publish where possible.

    Raises:
        ArtifactRefused: the signing key file holds no key.
    """
    from ai_platform.models.loading.signing import signer
    from ai_platform.models.publishing import Publisher
    from ai_platform.models.registry.aliases import PRODUCTION
    from ai_platform.training import iris, model_file
    from ai_platform.training.current_user import current_user

    with console.status("training logistic regression on iris"):
        trained = iris.train()
    table = Table("metric", "value", title="iris, logistic regression")
    for name, value in trained.metrics.items():
        table.add_row(name.replace("_", " "), f"{value:.3f}")
    console.print(table)
    files = model_file.write(trained, output, signer(settings.signing_key_file, settings.trusted_keys_dir))
    console.print(f"written: {files.artifact}, with its manifest and signature beside it")
    try:
        with console.status("validating and publishing"):
            published = Publisher.of(settings).publish(
                files.artifact, files.signed(), by=current_user(), alias=PRODUCTION
            )
    except (InvalidSettings, StorageUnavailable):
        console.print("not published: no platform is running here. `make up`, then train again.")
        return
    console.print(
        f"published: {trained.name} version {published.version}, now production, served {published.report.form}"
    )


def _is_published(settings: Settings) -> bool:
    from ai_platform.models.registry import aliases
    from ai_platform.storage.postgres import Database

    with Database.of(settings).connect("train") as connection:
        known = aliases.of_model(connection, settings.models.default)
    return any(alias.name == aliases.PRODUCTION for alias in known)
