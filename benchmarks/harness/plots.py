"""The form of the drawings. matplotlib is imported for a drawing alone, so that no process is measured with it."""

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Drawing: TypeAlias = "Figure"
OURS, THEIRS, THIRD = "#1f6f8b", "#b0b7bd", "#c8553d"


def drawing(width: float, height: float, columns: int = 1) -> "tuple[Figure, list[Axes]]":
    """A figure of so many inches, and its axes from left to right."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "synchronous", "svg.fonttype": "none", "font.family": "sans-serif"})
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = list(figure.subplots(1, columns, squeeze=False)[0])
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes
