"""Every refusal that advises something: who follows it publishes a model that answers.

The steps are those of validation, in this process, which takes milliseconds instead of a second each. The last
test reads the source: a sentence that names an option, a setting or a command without a case here fails it.
"""

import ast
import gzip
import io
import json
import pickle
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import scipy.stats
import xgboost
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io import dumps as skops_dumps

import ai_platform
from ai_platform import settings as configuration
from ai_platform.errors import ArtifactRefused
from ai_platform.models.loading.error_text import error_text
from ai_platform.models.loading.golden import record
from ai_platform.models.loading.trust import require_trusted
from ai_platform.models.registry.manifest import Draft, Manifest
from ai_platform.models.validation.own_rows import require_admitted
from ai_platform.models.validation.sample_rows import in_signature_order, synthetic_row, with_examples
from ai_platform.models.validation.trials import Trial
from ai_platform.models.validation.validate import Validated, Validator
from ai_platform.runtimes.base.runtime import Hints
from ai_platform.runtimes.boosters.booster import MISSING_EXTRA
from ai_platform.runtimes.catalogue import FORMATS, format_of
from ai_platform.runtimes.samples import Sample, from_frame
from ai_platform.settings import LimitSettings

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
FLOATS = X.astype(np.float32)
NAMES = ["a", "b", "c", "d"]
FRAME = pd.DataFrame(X, columns=NAMES)
CLASS = (X[:, 0] > 0).astype(int)
LABELS = (X[:, :3] > 0).astype(int)
SUM = LinearRegression().fit(X, X.sum(axis=1))
SAMPLE = from_frame(FRAME)


@dataclass(frozen=True)
class Try:
    """One publication: a file, and what is said of it."""

    format: str
    content: bytes | Callable[[], bytes]
    sample: Sample | None = None
    classes: tuple[str, ...] | None = None
    signed: bool = True
    trusted_types: list[str] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A refusal, and the same publication by somebody who has read it."""

    words: str
    refused: Try
    mended: Try


def publish(given: Try) -> None:
    """The steps of validating.

    Raises:
        ArtifactRefused, ValueError: it is refused.
    """
    runtime, content = FORMATS[given.format], given.content if isinstance(given.content, bytes) else given.content()
    require_trusted(
        given.format,
        runtime.untrusted_types(io.BytesIO(content)),
        signed=given.signed,
        operator_types=given.trusted_types,
    )
    inputs, rows = (given.sample.inputs, given.sample.rows) if given.sample else (None, [])
    draft = Draft(model="m", format=given.format, classes=given.classes, inputs=inputs, rows=rows)
    signature = runtime.read_signature(io.BytesIO(content), Hints(inputs, given.classes))
    loaded = runtime.load(io.BytesIO(content), signature)
    tried = in_signature_order(inputs or signature.inputs, rows, signature) or [synthetic_row(signature)]
    trial = Trial(loaded, given.format, signature, sampled=bool(rows))
    trial.run(tried)
    manifest = Manifest(
        model="m", format=given.format, sha256="", size=1, signature=with_examples(signature, trial.example(tried)),
        libraries={}, metrics={}, golden=record(loaded.predict(tried[:10]), tried[:10]), created_at="",
    )  # fmt: skip
    require_admitted(manifest, draft, LimitSettings.model_validate(given.limits))


def refusal_of(given: Try) -> str:
    try:
        publish(given)
    except ArtifactRefused as error:
        return error.detail
    except Exception as error:  # noqa: BLE001  # as the child words it
        return error_text(error)
    return ""


def exported(estimator: Any, kind: Any = None, **options: Any) -> bytes:
    named = {id(estimator): options} if options else None
    types = [("x", kind or FloatTensorType([None, 4]))]
    content: bytes = to_onnx(estimator, initial_types=types, options=named).SerializeToString()
    return content


def graph(nodes: list[Any], ins: list[Any], outs: list[Any], constants: list[Any] | None = None, **sets: int) -> bytes:
    known = [helper.make_opsetid("", 13), *(helper.make_opsetid(name, number) for name, number in sets.items())]
    made = helper.make_graph(nodes, "g", ins, outs, constants or [])
    content: bytes = helper.make_model(made, opset_imports=known, ir_version=8).SerializeToString()
    return content


def tensor(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def argmax() -> bytes:
    """The larger of two scores, as a network answers that names no classes."""
    nodes = [helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)]
    return graph(nodes, [tensor("x", ["n", 2])], [tensor("y", ["n"], TensorProto.INT64)])


def of_any_width() -> bytes:
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    return graph(nodes, [tensor("x", ["n", "width"])], [tensor("y", ["n", 1])], [axes])


def two_batches(*sizes: Any) -> bytes:
    ins = [tensor("a", [sizes[0], 1]), tensor("b", [sizes[1], 1])]
    return graph([helper.make_node("Add", ["a", "b"], ["y"])], ins, [tensor("y", [sizes[1], 1])])


def flat(shape: list[Any]) -> bytes:
    return graph([helper.make_node("Identity", ["x"], ["y"])], [tensor("x", shape)], [tensor("y", shape)])


def mixed_rows(*, axis: int) -> bytes:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[axis], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    return graph(nodes, [tensor("x", ["n", 4])], [tensor("y", ["n", 4])])


def apart(*, inside: bool) -> bytes:
    """A graph whose weights are in a file beside it, and the same as the refusal says to save it."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4], np.arange(4, dtype=np.float32).tobytes(), raw=True)
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    model = onnx.load_model_from_string(graph(nodes, [tensor("x", ["n", 4])], [tensor("y", ["n", 4])], [weights]))
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.onnx"
        onnx.save(model, path, save_as_external_data=True, size_threshold=0, location="weights.bin")
        if inside:
            onnx.save(onnx.load(path), path, save_as_external_data=False)
        return Path(path).read_bytes()


def python(body: str, more: str = "inputs = ['a']") -> bytes:
    return f"class Model:\n    {more}\n    def predict(self, rows):\n        {body}\n".encode()


def lightgbm_text() -> bytes:
    content: str = (
        lightgbm.LGBMClassifier(n_estimators=2, n_jobs=1, verbosity=-1).fit(FRAME, CLASS).booster_.model_to_string()
    )
    return content.encode()


def xgboost_json(target: Any, data: Any = None, **options: Any) -> bytes:
    model = xgboost.XGBClassifier(n_estimators=1, n_jobs=1, **options).fit(X if data is None else data, target)
    return bytes(model.get_booster().save_raw("json"))


def searched() -> Any:
    options = {"C": scipy.stats.uniform(0.1, 1)}
    return RandomizedSearchCV(LogisticRegression(), options, n_iter=2, cv=2, random_state=0).fit(X, CLASS)


def skops_forest() -> bytes:
    from sklearn.tree import DecisionTreeClassifier

    return bytes(skops_dumps(DecisionTreeClassifier(max_depth=2).fit(X, CLASS)))


def sample(**columns: list[Any]) -> Sample:
    return from_frame(pd.DataFrame(columns))


OTHER = from_frame(FRAME.rename(columns={"d": "e"}))
LONG = sample(text=["alpha beta"] * 5 + ["word " * 500])
TEXTS = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["alpha", "beta"] * 3, [0, 1] * 3)
UNNAMED = LinearRegression().fit(X, X[:, 0])
del UNNAMED.n_features_in_  # as estimators do that never validate
CITIES = pd.DataFrame({"city": pd.Categorical(["Rome", "Paris"] * 30), "x": X[:, 0]})
DUMP = pickle.dumps

CASES = [
    Case("name the classes with --classes", Try("onnx", argmax), Try("onnx", argmax, classes=("no", "yes"))),
    Case("--classes names 3 classes, and the model has 2",
         Try("onnx", exported(LogisticRegression().fit(X, CLASS)), classes=("a", "b", "c")),
         Try("onnx", exported(LogisticRegression().fit(X, CLASS)), classes=("a", "b"))),
    Case("--classes is given, and the model predicts numbers", Try("onnx", exported(SUM), classes=("a", "b")),
         Try("onnx", exported(SUM))),
    Case("publish it without --classes", Try(
        "onnx", exported(OneVsRestClassifier(LogisticRegression()).fit(X, LABELS)), classes=("a", "b", "c")),
        Try("onnx", exported(OneVsRestClassifier(LogisticRegression()).fit(X, LABELS)))),
    Case("give --sample with just its inputs", Try("onnx", of_any_width), Try("onnx", of_any_width, SAMPLE)),
    Case("give --sample with just its inputs, in the order of training",
         Try("onnx", exported(SUM), from_frame(FRAME.assign(target=1.0))), Try("onnx", exported(SUM), SAMPLE)),
    Case("the sample has no column 'd'; give --sample with all",
         Try("lightgbm", lightgbm_text, OTHER), Try("lightgbm", lightgbm_text, SAMPLE)),
    Case("the sample has no column 'a'; give --sample with all inputs of the model",
         Try("python", python("return [1.0 for _ in rows]"), sample(b=[1.0], c=[2.0])),
         Try("python", python("return [1.0 for _ in rows]"), sample(a=[1.0], c=[2.0]))),
    Case("must be a whole number from 1", Try(
        "python", python("return [row[0] for row in rows]", "inputs, max_batch_size = ['a'], 0")),
        Try("python", python("return [row[0] for row in rows]", "inputs, max_batch_size = ['a'], 1"))),
    Case("export it with a dynamic batch dimension", Try("onnx", two_batches(1, 2)),
         Try("onnx", two_batches("n", "n"))),
    Case("has one dimension of 4, which may be rows or columns", Try("onnx", flat([4])), Try("onnx", flat(["n", 4]))),
    Case("each row computed by itself", Try("onnx", mixed_rows(axis=0), SAMPLE),
         Try("onnx", mixed_rows(axis=1), SAMPLE)),
    Case("save it with all its data inside", Try("onnx", lambda: apart(inside=False)),
         Try("onnx", lambda: apart(inside=True))),
    Case("does not have; export it without custom operators",
         Try("onnx", graph([helper.make_node("Own", ["x"], ["y"], domain="own")], [tensor("x", ["n", 4])],
                           [tensor("y", ["n", 4])], own=1)), Try("onnx", flat(["n", 4]))),
    Case("give --sample, or declare `inputs`", Try("python", python("return [1.0 for _ in rows]", "pass")),
         Try("python", python("return [1.0 for _ in rows]", "pass"), sample(a=[1.0]))),
    Case("--classes names 3 classes, and the model has 2",
         Try("python", python("return [0 for _ in rows]", "inputs, classes = ['a'], [0, 1]"), classes=("a", "b", "c")),
         Try("python", python("return [0 for _ in rows]", "inputs, classes = ['a'], [0, 1]"), classes=("a", "b"))),
    Case("say `max_batch_size = 1` in the class", Try("python", python("return [rows[0][0]]")),
         Try("python", python("return [rows[0][0]]", "inputs, max_batch_size = ['a'], 1"))),
    Case("fix its random seed", Try("python", python("import random; return [random.random() for _ in rows]")),
         Try("python", python("import random; return [random.Random(row[0]).random() for row in rows]"))),
    Case("let it answer with numbers, strings", Try("python", python("return [{1} for _ in rows]")),
         Try("python", python("return [[1] for _ in rows]"))),
    Case("give --sample with rows that it can predict",
         Try("python", python("return [1.0 / row[0] for row in rows]")),
         Try("python", python("return [1.0 / row[0] for row in rows]"), sample(a=[1.0, 2.0]))),
    Case("leave out rows like it", Try("python", python("return [1.0 / row[0] for row in rows]"), sample(a=[1.0, 0.0])),
         Try("python", python("return [1.0 / row[0] for row in rows]"), sample(a=[1.0, 2.0]))),
    Case("leave such rows out of the sample or raise AI_PLATFORM_LIMITS__STRING_BYTES",
         Try("sklearn-pickle", DUMP(TEXTS), LONG, limits={"string_bytes": 1_024}),
         Try("sklearn-pickle", DUMP(TEXTS), LONG, limits={"string_bytes": 4_096})),
    Case("raise AI_PLATFORM_LIMITS__BODY_BYTES", Try("sklearn-pickle", DUMP(TEXTS), LONG, limits={
        "body_bytes": 1_024, "string_bytes": 4_096}), Try("sklearn-pickle", DUMP(TEXTS), LONG, limits={
            "body_bytes": 9_000, "string_bytes": 4_096})),
    Case("give --sample with their columns", Try("sklearn-pickle", DUMP(UNNAMED)),
         Try("sklearn-pickle", DUMP(UNNAMED), SAMPLE)),
    Case("--classes names 3 classes, and the model has 2: 0, 1",
         Try("sklearn-pickle", DUMP(LogisticRegression().fit(X, CLASS)), classes=("a", "b", "c")),
         Try("sklearn-pickle", DUMP(LogisticRegression().fit(X, CLASS)), classes=("a", "b"))),
    Case("--classes names a classifier's classes", Try("sklearn-pickle", DUMP(SUM), classes=("a", "b")),
         Try("sklearn-pickle", DUMP(SUM))),
    Case("give --sample with all columns of training",
         Try("sklearn-pickle", DUMP(LinearRegression().fit(FRAME, X[:, 0])), OTHER),
         Try("sklearn-pickle", DUMP(LinearRegression().fit(FRAME, X[:, 0])), SAMPLE)),
    Case("it was trained without names, so give --sample with just its inputs",
         Try("sklearn-pickle", DUMP(SUM), from_frame(FRAME.assign(target=1.0))),
         Try("sklearn-pickle", DUMP(SUM), SAMPLE)),
    Case("is not fitted; publish it after `fit`", Try("sklearn-pickle", DUMP(LinearRegression())),
         Try("sklearn-pickle", DUMP(SUM))),
    Case("publish a fitted estimator or pipeline that has `predict`",
         Try("sklearn-pickle", DUMP(StandardScaler().fit(X))),
         Try("sklearn-pickle", DUMP(make_pipeline(StandardScaler(), LinearRegression()).fit(X, X[:, 0])))),
    Case("write it without compression", Try("sklearn-pickle", gzip.compress(DUMP(SUM))),
         Try("sklearn-pickle", DUMP(SUM))),
    Case("publish the `best_estimator_` of a search", Try("sklearn-pickle", lambda: DUMP(searched())),
         Try("sklearn-pickle", lambda: DUMP(searched().best_estimator_))),
    Case("publish it where a signing key is, or as ONNX", Try("sklearn-pickle", DUMP(SUM), signed=False),
         Try("onnx", exported(SUM), signed=False)),
    Case("publish it where a signing key is", Try("python", python("return [1.0 for _ in rows]"), signed=False),
         Try("python", python("return [1.0 for _ in rows]"))),
    Case("publish one booster a label", Try("xgboost", lambda: xgboost_json(LABELS)),
         Try("xgboost", lambda: xgboost_json(LABELS[:, 0]))),
    Case("encode them before training", Try("xgboost", lambda: xgboost_json(CLASS, CITIES, enable_categorical=True)),
         Try("xgboost", lambda: xgboost_json(CLASS, CITIES.assign(city=CITIES["city"].cat.codes)))),
]  # fmt: skip

# What names something to do, in a sentence for a publisher.
ADVICE = re.compile(
    r"--[a-z]+|AI_PLATFORM_\w+|pip install|\b(?:publish|export|save|write|give|leave|raise) it\b|max_batch_size"
)
# These say why a published model is served as it is, or are tried elsewhere: with a child that has too little time or
# memory (below), without a library, or at the command line.
ELSEWHERE = {
    "AI_PLATFORM_MODELS__COMPILE_MAX_MB", "AI_PLATFORM_MODELS__VALIDATION_SECONDS",
    "AI_PLATFORM_MODELS__VALIDATION_MEMORY_MB",
    "AI_PLATFORM_MODELS__NON_FINITE", "pip install 'ai-platform[boosters]'", "name the format with --format",
    "export the graph with the locale", "set with --timeout when it was published", "--with-aliases",
}  # fmt: skip
SOURCES = [
    path
    for folder in ("models", "runtimes")
    for path in sorted((Path(ai_platform.__file__).parent / folder).rglob("*.py"))
    if path.stem not in {"compiling", "conversion", "publishing"}
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words)
def test_the_advice_of_a_refusal_leads_to_a_published_model(case: Case) -> None:
    assert case.words in refusal_of(case.refused)
    assert refusal_of(case.mended) == ""


def test_the_types_that_a_refusal_lists_are_all_that_have_to_be_trusted() -> None:
    refused = refusal_of(Try("sklearn-skops", skops_forest, signed=False))
    listed = re.search(r"AI_PLATFORM_MODELS__SKOPS_TRUSTED_TYPES='(\[.*\])'", refused)
    assert listed is not None, refused
    assert refusal_of(Try("sklearn-skops", skops_forest, signed=False, trusted_types=json.loads(listed[1]))) == ""
    assert refusal_of(Try("sklearn-skops", skops_forest, signed=True)) == ""


def test_every_ending_that_a_format_may_be_named_for_is_a_format() -> None:
    with pytest.raises(ValueError, match="name the format with --format") as refusal:
        format_of(Path("model.bin"))
    assert set(str(refusal.value).rpartition("one of ")[2].split(", ")) == set(FORMATS)


def test_the_extra_that_a_refusal_names_brings_what_is_missing() -> None:
    extra = re.search(r"pip install 'ai-platform\[(\w+)\]'", MISSING_EXTRA)
    assert extra is not None
    brought = [one for one in metadata.requires("ai-platform") or [] if f'extra == "{extra[1]}"' in one]
    assert {one.partition("~")[0] for one in brought} >= {"lightgbm", "xgboost-cpu"}


@pytest.mark.parametrize(
    ("source", "words", "setting", "raised"),
    [
        ("import time; time.sleep(1)", "AI_PLATFORM_MODELS__VALIDATION_SECONDS", {"validation_seconds": 0.9}, {}),
        ("held = bytes(900_000_000)", "AI_PLATFORM_MODELS__VALIDATION_MEMORY_MB", {"validation_memory_mb": 600},
         {"validation_memory_mb": 2_000}),
        ("pass", "AI_PLATFORM_MODELS__NON_FINITE", {"non_finite": "error"}, {"non_finite": "null"}),
    ],
)  # fmt: skip
def test_the_setting_that_a_refusal_names_lets_the_model_in(
    source: str, words: str, setting: dict[str, Any], raised: dict[str, Any], tmp_path: Path
) -> None:
    artifact = tmp_path / "model.py"
    artifact.write_bytes(
        python("return [float('nan') for _ in rows]") + f"    def load(self):\n        {source}\n".encode()
    )
    settings = configuration.load(data_dir=tmp_path)
    draft = Draft(model="m", format="python")

    def outcome(**changed: Any) -> Validated:
        models = settings.models.model_copy(update={"validation_seconds": 60.0, **changed})
        with_limits = settings.model_copy(update={"models": models})
        return Validator.of(with_limits).validate(artifact, draft, is_signed=True, workdir=tmp_path)

    with pytest.raises(ArtifactRefused, match=words):
        outcome(**setting)
    assert outcome(**raised).report.non_finite_rows == 32


def test_every_sentence_that_advises_something_has_a_case() -> None:
    said = [refusal_of(case.refused) for case in CASES]
    said.append(refusal_of(Try("sklearn-skops", skops_forest, signed=False)))
    missing = [
        f"{path.name}: {part}"
        for path in SOURCES
        for part in _sentences(path)
        if not any(part.strip() in refusal for refusal in said) and not any(one in part for one in ELSEWHERE)
    ]
    assert missing == []


def _sentences(path: Path) -> Iterator[str]:
    """Parts of strings that advise something, and are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        said = node.value if isinstance(node, ast.Constant) and id(node) not in docstrings else None
        if isinstance(said, str) and " " in said and ADVICE.search(said):
            yield said
