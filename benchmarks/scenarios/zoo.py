"""A zoo of models as people bring them: which are compiled, whether they are right, and how fast they answer."""

import contextlib
import json
import math
import pickle
import statistics
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import httpx
import numpy as np
import pandas as pd

from ai_platform.training.publish import publish
from benchmarks.harness import plots
from benchmarks.harness.cores import ALL, SERVER, pinned, placement
from benchmarks.harness.figures import ratios, series, shown, spread, table
from benchmarks.harness.scenario import Bench, Figures, Scenario, Target
from benchmarks.harness.site import READY_SECONDS, Server, Site, reference
from benchmarks.harness.zoo import CHURN, SAMPLE_ROWS, Brought, zoo
from benchmarks.load.plan import NUMBERED, Call, Plan
from harness import eventually

FRESH_ROWS, ROWS_A_REQUEST = 10_000, 500
EQUAL = 1e-6
CONNECTIONS = 16
# Kinds of requests that a load draws from; a number or a word in each is another one every time.
BODIES = 50
QUICK_MODELS = 3
LEAST_COMPILED = 52 / 60


def run(bench: Bench) -> Figures:
    """Figures by model."""
    site = bench.site
    brought = {one.slug: one for one in islice(zoo(), QUICK_MODELS if bench.options.quick else None)}
    reports = {name: _published(bench, one, site) for name, one in brought.items()}
    with _servers(site, brought) as up:
        wrong = {name: _checked(bench, one, up["platform"], site) for name, one in brought.items()}
        calls = {name: _calls(one) for name, one in brought.items()}
        seen = bench.in_turn(
            [f"{server} {name}" for name in brought for server in ("bare", "platform", "usual")],
            lambda line: _measured(bench, up, calls, line),
        )
    rates = series(seen, "per_second")
    return {
        "placement": placement(SERVER),
        "models": {
            name: {
                "name": one.name,
                **reports[name],
                "wrong": wrong[name],
                "per_second": spread(rates[f"platform {name}"]),
                "share": statistics.median(ratios(rates[f"platform {name}"], rates[f"bare {name}"])),
                "times": _times(rates[f"platform {name}"], rates[f"usual {name}"]),
                "failed": sum(each["failed"] for each in seen[f"platform {name}"]),
            }
            for name, one in brought.items()
        },
    }


def _times(ours: list[float], theirs: list[float]) -> float | None:
    """How many times faster than the usual design; None where that did not answer."""
    return statistics.median(ratios(ours, theirs)) if all(theirs) else None


def _published(bench: Bench, one: Brought, site: Site) -> Figures:
    bench.begins(f"publishing {one.name}")
    with pinned(ALL):
        report = publish(one.estimator, one.slug, sample=one.frame.head(SAMPLE_ROWS), settings=site.settings).report
    return {"form": report.form, "why": report.why_native or ""}


@contextlib.contextmanager
def _servers(site: Site, brought: dict[str, Brought]) -> Iterator[dict[str, Server]]:
    pickles = {}
    for name, one in brought.items():
        pickles[name] = site.folder / f"{name}.pkl"
        pickles[name].write_bytes(pickle.dumps((one.estimator, one.is_of_texts)))
    with site.api(SERVER) as platform, contextlib.ExitStack() as stack:
        answer = site.ask(platform, site.models["iris"])
        up = {"platform": platform}
        for name in ("bare", "usual"):
            up[name] = stack.enter_context(reference(name, SERVER, answer, pickles, site.folder))
        for one in brought.values():
            eventually(partial(_answers, platform, site, one), READY_SECONDS, f"{one.name} answers")
        yield up


def _asked(platform: Server, site: Site, one: Brought, body: Any) -> httpx.Response:
    url = f"{platform.url}/models/{one.slug}/predict"
    return httpx.post(url, content=json.dumps(body), timeout=60, headers=site.headers)


def _answers(platform: Server, site: Site, one: Brought) -> bool:
    return _asked(platform, site, one, {"instances": _rows(one.frame.head(1))}).status_code == httpx.codes.OK


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return rows


def _checked(bench: Bench, one: Brought, platform: Server, site: Site) -> int:
    """How many of some thousands of fresh rows the platform answers otherwise than the library."""
    bench.begins(f"comparing {one.name}")
    frame = one.fresh(np.random.default_rng(1), ROWS_A_REQUEST if bench.options.quick else FRESH_ROWS)
    answers = []
    for start in range(0, len(frame), ROWS_A_REQUEST):
        part = _rows(frame.iloc[start : start + ROWS_A_REQUEST])
        answers.append(_asked(platform, site, one, {"instances": part}).json())
    ours = np.array([value for answer in answers for value in answer["predictions"]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries', about names
        theirs = one.estimator.predict(one.takes(frame))
        if not hasattr(one.estimator, "classes_"):
            return int((np.abs(ours - theirs) > EQUAL * np.maximum(1, np.abs(theirs))).sum())
        wrong = ours != theirs
        if hasattr(one.estimator, "predict_proba"):
            found = np.array([row for answer in answers for row in answer["probabilities"]])
            wrong |= (np.abs(found - one.estimator.predict_proba(one.takes(frame))) > EQUAL).any(axis=1)
    return int(wrong.sum())


def _calls(one: Brought) -> list[Call]:
    """Requests by name, each with a number that is another one every time; the same for every server."""
    calls = []
    for row in _rows(one.fresh(np.random.default_rng(2), BODIES)):
        if one.is_of_texts:
            row["text"] = f"{row['text']} {NUMBERED}"
            body = json.dumps({"features": row})
        else:
            months = f'"months": {int(row.pop("months"))}.{NUMBERED}'
            body = f'{{"features": {{{months}, {json.dumps(row)[1:]}}}'
        calls.append(Call(one.slug, f"/models/{one.slug}/predict", body))
    return calls


def _measured(bench: Bench, up: dict[str, Server], calls: dict[str, list[Call]], line: str) -> Figures:
    server, _, name = line.partition(" ")
    plan = Plan(up[server].port, bench.site.key, calls[name], CONNECTIONS, bench.options.seconds)
    seen = bench.warmed(plan)
    return {"per_second": seen["per_second"], "failed": sum(seen["failures"].values())}


def _compiled(figures: Figures) -> list[Figures]:
    return [each for each in figures["models"].values() if each["form"] == "compiled"]


def _mean_times(figures: Figures) -> float:
    """The geometric mean of how many times faster than the usual design."""
    known = [each["times"] for each in figures["models"].values() if each["times"] is not None]
    return math.exp(statistics.fmean(math.log(times) for times in known))


def _least_churn(figures: Figures) -> float | None:
    shares = [each["share"] for each in figures["models"].values() if each["name"] in CHURN]
    return min(shares, default=None)


def write(figures: Figures) -> dict[str, Any]:
    """The table of models."""
    rows = [
        (each["name"], each["form"], each["share"], shown(each["times"], digits=0), each["per_second"]["median"],
         each["wrong"], each["why"])
        for each in sorted(figures["models"].values(), key=lambda each: -each["share"])
    ]  # fmt: skip
    heads = "Model | serves | of bare ASGI | times the usual design | requests/s | rows that differ | why native"
    return {
        "table": table(heads, rows, words=(0, 1, 6)),
        "count": len(rows),
        "compiled": len(_compiled(figures)),
        "sample": SAMPLE_ROWS,
        "fresh": f"{FRESH_ROWS:,}",
    }


TARGETS = (
    Target("Models that serve compiled, of all", "at least 52 of 60",
           lambda it: len(_compiled(it)) / len(it["models"]), at_least=LEAST_COMPILED),
    Target("Median of the zoo beside bare ASGI", "at least 0.25",
           lambda it: statistics.median(each["share"] for each in it["models"].values()), at_least=0.25),
    Target("The slowest churn pipeline beside bare ASGI", "at least 0.20", _least_churn, at_least=0.20),
    Target("Geometric mean beside the usual design", "at least 15 times", _mean_times, at_least=15),
    Target("Rows that differ from the library", "none",
           lambda it: sum(each["wrong"] for each in it["models"].values()), at_most=0),
    Target("Requests that failed", "none", lambda it: sum(each["failed"] for each in it["models"].values()), at_most=0),
)  # fmt: skip


def draw(figures: Figures) -> plots.Drawing:
    """Bars of each model's share of bare ASGI."""
    shares = {each["name"]: each["share"] for each in sorted(figures["models"].values(), key=lambda one: one["share"])}
    forms = {each["name"]: each["form"] for each in figures["models"].values()}
    figure, (axes,) = plots.drawing(9, max(3.0, len(shares) / 5))
    axes.barh(
        list(shares), list(shares.values()),
        color=[plots.OURS if forms[name] == "compiled" else plots.THEIRS for name in shares],
    )  # fmt: skip
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel(
        "of bare ASGI on one core, one row a request, 16 connections (higher is better; grey: not compiled)"
    )
    return figure


SCENARIO = Scenario(
    "zoo", "A zoo of models", run, write, "zoo", rounds=3, seconds=1.0, targets=TARGETS, draw=draw
)  # fmt: skip
