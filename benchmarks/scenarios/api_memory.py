"""Memory of an API process: with iris alone, and with 20 models.

5 logistic regressions, 5 pipelines of numbers, categories and missing values, 10 forests of 100 trees, each published
as a user would, each asked for predictions. PSS after a second of quiet.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from benchmarks.harness import models
from benchmarks.harness.figures import table
from benchmarks.harness.measures import pss_mb
from benchmarks.harness.models import Model
from benchmarks.harness.scenario import Bench, Figures, Scenario
from harness import eventually

ROWS, SAMPLE = 600, 100


def twenty(count: int) -> Iterator[Model]:
    """So many forests, and half as many logistic regressions and pipelines each."""
    for seed in range(count):
        random = np.random.default_rng(seed)
        numbers = pd.DataFrame(random.normal(size=(ROWS, 8)), columns=[f"x{number}" for number in range(8)])
        target = (numbers["x0"] + numbers["x1"] ** 2 + random.normal(0, 0.5, ROWS) > 1).astype(int).to_numpy()
        forest = RandomForestClassifier(100, max_depth=8, random_state=seed).fit(numbers, target)
        yield models.fitted(f"forest-{seed}", "forest", forest, numbers, SAMPLE)
        if seed < count / 2:
            logistic = LogisticRegression(max_iter=500).fit(numbers, target)
            yield models.fitted(f"logistic-{seed}", "logistic", logistic, numbers, SAMPLE)
            texts = {"plan": ["basic", "plus", "family"]}
            frame, pipeline = models.mixed(numbers[["x0", "x1", "x2"]], random, texts)
            yield models.fitted(f"pipeline-{seed}", "pipeline", pipeline.fit(frame, target), frame, SAMPLE)


def run(bench: Bench) -> Figures:
    """PSS with iris alone, PSS with all, and in which form each kind serves."""
    site, options = bench.site, bench.options
    quiet = 0.1 if options.quick else 1.0
    forms: dict[str, str] = {}
    with site.api() as server:
        for _ in range(50):
            site.ask(server, site.models["iris"])
        time.sleep(quiet)
        alone = pss_mb(server.pid)
        for model in twenty(2 if options.quick else 10):
            bench.begins(model.name)
            forms[model.name] = model.publish(site.settings, site.folder)
            eventually(lambda: site.ask(server, model), 30, model.name)  # noqa: B023
            if not site.ask(server, model, 100):
                raise RuntimeError(f"{model.name} does not answer")
        time.sleep(quiet)
        whole = pss_mb(server.pid)
    kinds = {(name.split("-")[0], form) for name, form in forms.items()}
    return {"alone_mb": round(alone, 1), "all_mb": round(whole, 1), "models": len(forms), "forms": sorted(kinds)}


def write(figures: Figures) -> dict[str, Any]:
    """Before and after."""
    what = f"iris and {figures['models']} more: half forests of 100 trees, else logistic regressions and pipelines"
    rows = [["iris alone", f"{figures['alone_mb']:.0f} MB"], [what, f"{figures['all_mb']:.0f} MB"]]
    served = ", ".join(f"{kind} {form}" for kind, form in figures["forms"])
    return {"table": table("Loaded | PSS", rows), "served": served}


SCENARIO = Scenario(
    "api-memory", "Memory of an API process", run, write, "api-memory", servers="twenty models", rounds=1, wrk=False
)
