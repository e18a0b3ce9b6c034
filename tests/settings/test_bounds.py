"""Every number that somebody gives, in a setting or for a key, has a bound below and above."""

import math
from collections.abc import Iterator
from typing import Any

import annotated_types
import msgspec
import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ai_platform.access.gcra import FASTEST_ROWS_PER_SECOND, SLOWEST_ROWS_PER_SECOND, Bucket, limit_of
from ai_platform.access.key_spec import KeySpec
from ai_platform.errors import InvalidInput
from ai_platform.settings import Settings

pytestmark = pytest.mark.quick

BEYOND = (-1, -1e-300, 1e-300, 5e-324, 1e300, 10**30, 10**400, math.nan, math.inf, -math.inf)
LEAST = {"owner": "somebody", "scopes": ["predict"]}


def numeric(group: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel], str, FieldInfo]]:
    """Every numeric setting: its path, its group, its name and its field."""
    for name, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from numeric(field.annotation, f"{path}{name}.")
        elif field.annotation in {int, float}:
            yield f"{path}{name}", group, name, field


FIELDS = list(numeric(Settings))


@pytest.mark.parametrize(("group", "name", "field"), [one[1:] for one in FIELDS], ids=[one[0] for one in FIELDS])
def test_a_setting_has_a_bound_below_and_above_and_takes_nothing_beyond(
    group: type[BaseModel], name: str, field: FieldInfo
) -> None:
    lowest = [one.ge for one in field.metadata if isinstance(one, annotated_types.Ge)]
    highest = [one.le for one in field.metadata if isinstance(one, annotated_types.Le)]
    assert len(lowest) == len(highest) == 1, "a number needs ge and le"
    assert field.get_default(call_default_factory=True) is not None
    for value in (0, *BEYOND):
        try:
            taken = getattr(group(**{name: value}), name)
        except (ValidationError, OverflowError):
            continue
        assert value == 0 or (name == "sample" and value == 1e-300) or taken == value > 0, value
        assert lowest[0] <= taken <= highest[0], (value, taken)
        assert math.isfinite(taken)


def test_no_setting_takes_what_is_too_small_to_be_divided_by() -> None:
    """Zero, where it is allowed, means none; 1e-300 would mean it and count otherwise."""
    # Nothing is divided by these.
    shares = {"prediction_log.sample", "api.wait_ms", "api.shutdown_delay_seconds", "models.answer_seconds"}
    for path, group, name, _ in FIELDS:
        if path in shares:
            continue
        for tiny in (1e-300, 5e-324):
            with pytest.raises(ValidationError):
                group(**{name: tiny})


def test_the_walk_sees_every_group_of_settings() -> None:
    assert len(FIELDS) >= 40
    assert {path.split(".")[0] for path, *_ in FIELDS} >= {"api", "access", "limits", "database", "redis", "jobs"}


@pytest.mark.parametrize("value", [0, *BEYOND], ids=str)
@pytest.mark.parametrize("name", ["expires_in", "rows_per_second", "burst_rows", "waiting_jobs"])
def test_a_number_of_a_key_beyond_its_bounds_is_refused_by_its_name(name: str, value: float) -> None:
    with pytest.raises(InvalidInput) as refusal:
        KeySpec.of_document({**LEAST, name: value})
    assert refusal.value.faults[0].pointer == f"/{name}"


def test_no_number_of_a_key_is_missing_from_these_tests() -> None:
    kinds = {name: str(msgspec.inspect.type_info(kind)) for name, kind in KeySpec.__annotations__.items()}
    numbers = {name for name, kind in kinds.items() if "IntType" in kind or "FloatType" in kind}
    assert numbers == {"expires_in", "rows_per_second", "burst_rows", "waiting_jobs"}


@pytest.mark.parametrize("value", [SLOWEST_ROWS_PER_SECOND, FASTEST_ROWS_PER_SECOND, 1, 3.5])
def test_a_rate_within_its_bounds_is_taken(value: float) -> None:
    assert KeySpec.of_document({**LEAST, "rows_per_second": value}).rows_per_second == value


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-9, 1e300, math.inf, math.nan])
@pytest.mark.parametrize("burst", [None, 1, 2_000_000_000])
def test_a_rate_from_before_the_bounds_counts_as_the_nearest_bound(rate: float, burst: int | None) -> None:
    limit = limit_of(rate, burst)
    assert limit is not None
    assert SLOWEST_ROWS_PER_SECOND <= limit.rows_per_second <= FASTEST_ROWS_PER_SECOND
    bucket = Bucket(limit)
    assert len(bucket.policy) < 40
    waits: list[Any] = [bucket.take(1, 100.0) for _ in range(3)]
    assert all(math.isfinite(wait) for wait in waits)
    assert math.isfinite(bucket.full_until)
    assert bucket.left(100.0) >= 0
