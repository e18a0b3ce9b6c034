"""Which models are served, and what publishing and loading one may cost."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ai_platform.settings.group import Group, NonFinite, Seconds


class ModelSettings(Group):
    """Published models and the keys that are trusted to sign them."""

    default: str = Field("iris", description="the model behind `POST /predict/`")
    refresh_seconds: Seconds = Field(1.0, description="seconds between two looks at what the aliases point to")
    load_seconds: Seconds = Field(
        30.0,
        description="seconds that a request waits for a version to load, and that trying one in a process may take",
    )
    ready: Literal["default", "all", "none"] = Field(
        "default",
        description="without what `/health/ready` is 503: the `default` model, `all` that aliases name, or `none`",
    )
    answer_seconds: float = Field(
        15.0,
        ge=0,
        le=600,
        description="seconds that publishing and moving an alias wait until every API process serves it; 0 for no wait",
    )
    loaded_mb: int = Field(
        1_024,
        ge=16,
        le=1_048_576,
        description="MB of models in memory; beyond it, those that no alias names leave, oldest use first",
    )
    affinity_header: str = Field(
        "x-caller-id",
        pattern="^[A-Za-z][A-Za-z0-9-]{0,63}$",
        description="request header by which a caller stays on one version where an alias names several",
    )
    uploads: bool = Field(default=False, description="whether models are taken over HTTP")
    upload_mb: int = Field(512, ge=1, le=65_536, description="largest model file that is taken over HTTP, in MB")
    cache_dir: Path | None = Field(
        None, description="folder of verified artifacts; default: `models` in the data folder"
    )
    trusted_keys_dir: Path | None = Field(
        None, description="folder of public keys (`*.pub`) that may sign; default: `keys` in the data folder"
    )
    signing_key_file: Path | None = Field(
        None, description="private key of `train`, made at first use; default: `keys/signing.pem` in the data folder"
    )
    validation_seconds: Seconds = Field(
        30.0, description="seconds in which a published model must load and predict; compiling it has as long again"
    )
    validation_memory_mb: int = Field(
        4_096,
        ge=512,
        le=1_048_576,
        description="most address space, in MB, of the process that tries a published model",
    )
    compile_max_mb: int = Field(
        64, ge=1, le=65_536, description="largest model file that is compiled to ONNX, and largest graph, in MB"
    )
    non_finite: NonFinite = Field(
        "null",
        description="outputs that are NaN or infinite, for which JSON has no numbers: `null`, said in the answer's"
        " `non_finite`, or `error`, and the prediction fails",
    )
    skops_trusted_types: list[str] = Field(
        [], description="types in skops files that need no signature (JSON list), beside those that skops itself trusts"
    )
