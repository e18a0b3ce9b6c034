"""What groups of settings share: the base class, and the types of their values."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def countable_rate(rows_per_second: float) -> float:
    """A rate of rows that is 0, for no limit, or large enough to be counted with.

    Raises:
        ValueError: it is another.
    """
    if 0 < rows_per_second < 0.001:  # noqa: PLR2004  # as `access.gcra.SLOWEST_ROWS_PER_SECOND`, a floor above
        raise ValueError("a rate is 0, for no limit, or at least 0.001 rows a second")
    return rows_per_second


# From a millisecond: a shorter wait is none, and what divides by one still gets a number that can be counted with.
Seconds = Annotated[float, Field(ge=0.001, le=86_400)]
# No limit, or one that a bucket can count with (`access/gcra.py`).
RowsPerSecond = Annotated[float, Field(ge=0, le=1_000_000_000), AfterValidator(countable_rate)]
NonFinite = Literal["null", "error"]
# As a browser writes it. There is no `*`: whose pages may call is named.
Origin = Annotated[str, Field(pattern=r"^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$")]
Port = Annotated[int, Field(ge=1, le=65_535)]


class Group(BaseModel):
    """A group of settings; unknown names in it are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
