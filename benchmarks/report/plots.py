"""The page's drawings, as SVG: throughput, overload, memory over time."""

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.harness.figures import spread
from benchmarks.report.targets import Figures

mpl.rcParams.update({"svg.hashsalt": "synchronous", "svg.fonttype": "none", "font.family": "sans-serif"})
OURS, THEIRS, THIRD = "#1f6f8b", "#b0b7bd", "#c8553d"


def throughput(figures: Figures, path: Path) -> None:
    """Bars of requests a second, with the spread of the rounds."""
    names = [name for name, each in figures["subjects"].items() if each["connections"] == 16][::-1]
    rates = [spread([each["a_second"] for each in figures["subjects"][name]["rounds"]]) for name in names]
    figure, axes = _drawing(9, 5)
    errors = [[each["median"] - each["low"] for each in rates], [each["high"] - each["median"] for each in rates]]
    bars = axes.barh(
        names, [each["median"] for each in rates], xerr=errors, error_kw={"lw": 0.8},
        color=[OURS if name.startswith("platform") else THEIRS for name in names],
    )  # fmt: skip
    axes.bar_label(bars, labels=[f"{each['median']:,.0f}" for each in rates], padding=4, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("requests a second on one core, 16 connections (logarithmic; higher is better)")
    _save(figure, path)


def overload(figures: Figures, path: Path) -> None:
    """Goodput and latency over offered load."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    loads = figures["loads"]
    capacity = statistics.median(each["capacity"] for each in figures["rounds"])
    left.plot(loads, [load * capacity for load in loads], color=THEIRS, ls="--", label="offered")
    left.plot(loads, _over(figures, "goodput"), color=OURS, marker="o", label="answered with 200")
    left.set(xlabel="offered load, in capacities", ylabel="requests a second", ylim=(0, 2.2 * capacity), xscale="log")
    right.plot(loads, _over(figures, "p99_ms"), color=OURS, marker="o", label="p99 of accepted")
    right.plot(loads, _over(figures, "p50_ms"), color=OURS, marker="o", ls=":", label="p50 of accepted")
    right.plot(loads, _over(figures, "refused_p99_ms"), color=THIRD, marker="s", label="p99 of refusals (503)")
    right.set(xlabel="offered load, in capacities", ylabel="milliseconds since due", xscale="log", yscale="log")
    for axes in (left, right):
        axes.set_xticks(loads, [f"{load:g}" for load in loads], fontsize=8)
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def memory(figures: Figures, path: Path) -> None:
    """PSS over the time."""
    figure, axes = _drawing(9, 3)
    samples = figures["pss_mb"]
    axes.plot(samples, color=OURS, lw=1)
    axes.axvline(len(samples) / 2, color=THEIRS, ls="--", lw=0.8)
    axes.set(xlabel="seconds", ylabel="PSS, MB", ylim=(0, max(samples) * 1.15))
    _save(figure, path)


def _over(figures: Figures, name: str) -> list[float]:
    """A median for each load; NaN leaves a gap where there was nothing."""
    found: list[float] = []
    for load in figures["loads"]:
        values: list[Any] = [each["at"][str(load)][name] for each in figures["rounds"]]
        present = [value for value in values if value is not None]
        found.append(statistics.median(present) if present else float("nan"))
    return found


def _drawing(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None})
