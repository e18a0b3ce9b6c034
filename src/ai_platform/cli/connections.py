"""Which platform a command speaks to: the one that the environment names, or the one that runs in the data folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ai_platform.processes.status import running_urls
from ai_platform.settings import Settings, load

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the running platform.")]


def settings_for(data_dir: Path | None) -> Settings:
    """The settings, completed by the addresses of the `up` that runs in the data folder, if one does.

    Raises:
        InvalidSettings: a setting cannot be used.
    """
    overrides: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir.absolute()}
    settings = load(**overrides)
    urls = running_urls(settings.data_dir)
    if settings.database_url is None and "postgres" in urls:
        overrides["database_url"] = urls["postgres"]
    if settings.redis_url is None and "redis" in urls:
        overrides["redis_url"] = urls["redis"]
    return load(**overrides)
