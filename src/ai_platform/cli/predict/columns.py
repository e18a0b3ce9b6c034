"""Which column of a file is which input of a model: all of them, or none is predicted."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ai_platform.errors import PlatformError
from ai_platform.runtimes.base.cells import NUMBER
from ai_platform.runtimes.base.signature import Feature
from ai_platform.tables.names import folded, nearest

_SHOWN = 8


class ColumnsMissing(PlatformError):
    """The columns of a file are not a model's inputs."""

    code = "columns_missing"


@dataclass(frozen=True, slots=True)
class Columns:
    """How the inputs are read of a row.

    Attributes:
        places: of each input, in the order of the inputs.
        ignored: names of columns that are not read.
        remarks: of names that were matched although they are written in another way, each a sentence.
    """

    places: list[int]
    ignored: list[str]
    remarks: list[str] = field(default_factory=list)


def columns_of(file: str, names: Sequence[str], inputs: Sequence[Feature]) -> Columns:
    """Match the names of a file with a model's inputs: exactly, or where they differ in what nobody sees.

    Outer blanks, capitals, a byte order mark and marks that libraries replace by `_` may differ, where just one column
    and one input are then alike.

    Raises:
        ColumnsMissing: an input is no column, or several could be it; the sentence names the nearest.
    """
    if names and all(NUMBER.fullmatch(name.strip()) for name in names) and len(inputs) > 0:
        known = {feature.name for feature in inputs}
        if not known & set(names):
            raise ColumnsMissing(f"the first line of {file} holds numbers and no names; put the columns' names there")
    found = [_place(file, names, feature, inputs) for feature in inputs]
    remarks = [
        f"column {names[place]!r} is read as input {feature.name!r}"
        for place, feature in zip(found, inputs, strict=True)
        if names[place] != feature.name
    ]
    read = set(found)
    return Columns(found, [name for place, name in enumerate(names) if place not in read and name.strip()], remarks)


def _place(file: str, names: Sequence[str], feature: Feature, inputs: Sequence[Feature]) -> int:
    own = {one.name for one in inputs} - {feature.name}
    exact = [place for place, name in enumerate(names) if name == feature.name]
    alike = [place for place, name in enumerate(names) if folded(name) == folded(feature.name) and name not in own]
    rivals = [one.name for one in inputs if folded(one.name) == folded(feature.name)]
    found = exact or (alike if len(rivals) == 1 else [])
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(repr(names[place]) for place in found[:_SHOWN])
        raise ColumnsMissing(f"several columns of {file} could be the model's input {feature.name!r}: {several}")
    close = nearest(feature.name, [name for name in names if name not in own])
    if close is not None:
        raise ColumnsMissing(
            f"the model's input {feature.name!r} is no column of {file}; the nearest is {close[:64]!r}. Name it as the"
            " model does"
        )
    shown = ", ".join(name[:64] for name in names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    raise ColumnsMissing(f"the model's input {feature.name!r} is no column of {file}, which has: {shown}")
