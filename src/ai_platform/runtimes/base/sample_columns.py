"""Which column of a sample is which input: by name, also where a library has replaced marks in it."""

from collections.abc import Iterable, Sequence

from ai_platform.runtimes.base.runtime import Hints
from ai_platform.runtimes.base.signature import Feature, FeatureType
from ai_platform.tables.names import spelt


def columns_by_name(wanted: Sequence[tuple[str, FeatureType | None]], hints: Hints) -> list[Feature]:
    """The columns of a sample for inputs with names, each in the spelling of the sample.

    Args:
        wanted: name and demanded type of each input.
        hints: with a sample.

    Raises:
        ValueError: the sample has no such column, or several that could be it.
    """
    assert hints.inputs is not None
    places = places_of([name for name, _kind in wanted], [feature.name for feature in hints.inputs])
    found = []
    for (name, kind), place in zip(wanted, places, strict=True):
        if place is None:
            raise ValueError(f"the sample has no column {name!r}; give --sample with all columns of training")
        found.append(hints.column(place, kind))
    return found


def places_of(names: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """Where each name stands among known ones: itself, or the only one that differs in replaced marks alone."""
    exact = {name: place for place, name in enumerate(known)}
    respelt: dict[str, list[int]] = {}
    for place, name in enumerate(known):
        respelt.setdefault(spelt(name), []).append(place)
    wanted = [spelt(name) for name in names]
    places: list[int | None] = []
    for name, spelling in zip(names, wanted, strict=True):
        alike = respelt.get(spelling, [])
        only = alike[0] if len(alike) == 1 and wanted.count(spelling) == 1 else None
        places.append(exact.get(name, only))
    return places


def ignored_columns(inputs: Iterable[Feature], hints: Hints, dropped: Iterable[str] = ()) -> tuple[str, ...]:
    """Columns that training or its sample had and that are no inputs.

    Args:
        inputs: of the signature, in the spelling of the sample.
        hints: perhaps with a sample.
        dropped: names of training that the model does not read.
    """
    taken = {feature.name for feature in inputs}
    known = [*dropped, *(feature.name for feature in hints.inputs or ())]
    return tuple(name for name in dict.fromkeys(known) if name not in taken and name)
