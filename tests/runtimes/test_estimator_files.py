"""What is refused of pickled and skops estimators, and that nothing of it was executed."""

import contextlib
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import uniform
from sklearn import __version__ as installed
from sklearn.cluster import DBSCAN
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from skops.io import dumps as skops_dumps

from ai_platform.runtimes.base.runtime import Hints
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.runtimes.sklearn import pickle_format, skops_format
from ai_platform.runtimes.sklearn.pickle_names import find

pytestmark = pytest.mark.quick

PICKLE, SKOPS = FORMATS["sklearn-pickle"], FORMATS["sklearn-skops"]
ONE = Signature(inputs=(Feature(name="x0"),))
TABLE, TARGET = np.array([[1.0], [2.0], [3.0], [4.0]]), [1.0, 2.0, 3.0, 4.0]


def line() -> LinearRegression:
    return LinearRegression().fit(TABLE, TARGET)


class Acts:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


class _Reduced:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def test_a_pickle_that_acts_is_refused_by_name_and_does_not_act(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    content = pickle.dumps([Acts(mark), line()])
    with pytest.raises(ValueError, match="the pickle names "):
        PICKLE.load(io.BytesIO(content), ONE)
    assert not mark.exists()


def test_a_pickle_that_calls_the_shell_is_refused_by_name(tmp_path: Path) -> None:
    import os

    content = pickle.dumps(_Reduced(os.system, f"touch {tmp_path}/mark"))
    assert PICKLE.untrusted_types(io.BytesIO(content)) == ["posix.system"]
    with pytest.raises(ValueError, match=r"names posix\.system"):
        PICKLE.load(io.BytesIO(content), ONE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"), ("builtins", "getattr"), ("os", "system"), ("subprocess", "Popen"),
        ("numpy", "load"), ("numpy", "save"), ("numpy.f2py.__main__", "main"),
        ("numpy.testing._private.utils", "runstring"), ("scipy.stats._distn_infrastructure", "rv_frozen"),
        ("sklearn.utils", "os.system"), ("sklearn.utils.validation", "warnings"), ("sklearn.datasets", "fetch_openml"),
        ("sklearn.externals._arff", "load"), ("sklearn.pipeline", "islice"), ("joblib", "load"),
        ("sklearn.metrics._scorer", "partial"), ("pandas", "read_pickle"), ("pandas.io.common", "os"),
    ],
)  # fmt: skip
def test_a_name_that_acts_is_not_found(module: str, name: str) -> None:
    with pytest.raises(ValueError, match=rf"names {module}\.{name}"):
        find(module, name)


def test_a_search_over_distributions_is_refused_with_what_to_publish() -> None:
    search = RandomizedSearchCV(LogisticRegression(), {"C": uniform(0.1, 1)}, n_iter=1, cv=2)
    content = pickle.dumps(search.fit(TABLE, [0, 1, 0, 1]))
    with pytest.raises(ValueError, match="publish the `best_estimator_`"):
        PICKLE.load(io.BytesIO(content), ONE)


def test_a_name_that_is_not_installed_is_named() -> None:
    with pytest.raises(ValueError, match=r"it needs sklearn\.gone\.Old, which"):
        find("sklearn.gone", "Old")


def test_functions_of_arithmetic_may_be_kept_by_an_estimator() -> None:
    kept = make_pipeline(FunctionTransformer(np.log1p), SelectKBest(f_classif, k=1), LogisticRegression())
    content = pickle.dumps(kept.fit(TABLE, [0, 0, 1, 1]))
    assert PICKLE.load(io.BytesIO(content), ONE).predict([[4.0]]).predictions == [1]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_names_are_read_of_every_protocol(protocol: int) -> None:
    found = PICKLE.untrusted_types(io.BytesIO(pickle.dumps(line(), protocol)))
    assert "sklearn.linear_model._base.LinearRegression" in found
    assert "pickle" not in found
    assert PICKLE.load(io.BytesIO(pickle.dumps(line(), protocol)), ONE).predict([[5.0]]).predictions == [
        pytest.approx(5.0)
    ]


def test_a_name_that_is_put_together_while_loading_shows_as_a_pickle() -> None:
    dynamic = b"\x80\x04\x8c\x02os\x8c\x06system\x86\x30\x4e\x4e\x93."
    assert PICKLE.untrusted_types(io.BytesIO(dynamic)) == ["pickle"]


def test_a_pickle_that_names_nothing_is_a_pickle_still() -> None:
    assert PICKLE.untrusted_types(io.BytesIO(pickle.dumps([1, 2]))) == ["pickle"]


def of_joblib(made: Any) -> io.BytesIO:
    written = io.BytesIO()
    joblib.dump(made, written)
    written.seek(0)
    return written


def test_a_file_of_joblib_predicts_as_the_estimator_that_it_holds() -> None:
    table = np.array([["a"], ["b"], ["a"], ["b"]], dtype=object)
    estimator = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(table, [0, 1, 0, 1])
    assert PICKLE.untrusted_types(of_joblib(estimator)) == ["pickle"]
    signature = PICKLE.read_signature(of_joblib(estimator), Hints())
    outputs = PICKLE.load(of_joblib(estimator), signature).predict([["a"], ["b"]])
    assert outputs.probabilities == estimator.predict_proba(table[:2]).tolist()


@pytest.mark.parametrize(
    "wrap", [lambda acts: acts, lambda acts: np.array([acts], dtype=object)], ids=["plain", "inside"]
)
def test_a_file_of_joblib_that_acts_is_refused_by_name_and_does_not_act(tmp_path: Path, wrap: Any) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(ValueError, match="the pickle names pathlib"):
        PICKLE.load(of_joblib([np.ones(3), wrap(Acts(mark))]), ONE)
    assert not mark.exists()


def test_the_mark_of_joblib_is_found_across_the_parts_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (7, 64, 1000):
        monkeypatch.setattr(pickle_format, "_PART_BYTES", size)
        assert PICKLE.load(of_joblib(line()), ONE).predict([[5.0]]).predictions == [pytest.approx(5.0)]
        assert PICKLE.untrusted_types(io.BytesIO(pickle.dumps(line()))) != ["pickle"]


def test_a_compressed_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    joblib.dump(line(), path, compress=3)
    with path.open("rb") as file, pytest.raises(ValueError, match="write it without compression"):
        PICKLE.untrusted_types(file)


def test_a_pickle_of_another_version_is_refused_with_both_versions() -> None:
    older = "1.4.2".ljust(len(installed))[: len(installed)]
    content = pickle.dumps(line()).replace(installed.encode(), older.encode())
    with pytest.raises(ValueError, match=rf"scikit-learn {older.strip()}\s*, and this platform has {installed}"):
        PICKLE.load(io.BytesIO(content), ONE)


def test_a_skops_file_of_another_version_is_refused_with_both_versions() -> None:
    with pytest.raises(ValueError, match=rf"scikit-learn 1\.4\.2, and this platform has {installed}"):
        SKOPS.load(io.BytesIO(_edited(skops_dumps(line()), installed, "1.4.2")), ONE)


def test_a_skops_file_with_types_of_its_own_tells_them_and_makes_none(tmp_path: Path) -> None:
    content = _edited(skops_dumps(line()), "sklearn.linear_model._base", "somewhere.of_its_own")
    assert SKOPS.untrusted_types(io.BytesIO(content)) == ["somewhere.of_its_own.LinearRegression"]
    with pytest.raises(ValueError, match="libraries installed here do not have"):
        SKOPS.load(io.BytesIO(content), ONE)


def test_a_skops_file_that_unpacks_to_fill_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skops_format, "_SMALL_BYTES", 1000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * 1_000_000)
    with pytest.raises(ValueError, match="unpacks to far more"):
        SKOPS.untrusted_types(packed)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"not": "a model"}, "a dict cannot predict"),
        (LinearRegression, "cannot predict"),
        (DBSCAN().fit(TABLE), "a DBSCAN cannot predict"),
        (LinearRegression(), "this LinearRegression is not fitted"),
    ],
    ids=["dict", "class", "cannot predict", "not fitted"],
)
def test_an_object_that_is_no_fitted_predictor_is_refused(made: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PICKLE.load(io.BytesIO(pickle.dumps(made)), ONE)


def test_hints_that_do_not_fit_name_the_option() -> None:
    content = pickle.dumps(LogisticRegression().fit(TABLE, [0, 0, 1, 1]))
    for hints, why in (
        (Hints(classes=("a", "b", "c")), "--classes names 3 classes, and the model has 2: 0, 1"),
        (Hints(inputs=(Feature(name="a"), Feature(name="b"))), "has 2 columns and the model takes 1; .* --sample"),
    ):
        with pytest.raises(ValueError, match=why):
            PICKLE.read_signature(io.BytesIO(content), hints)
    with pytest.raises(ValueError, match="--classes names a classifier's classes"):
        PICKLE.read_signature(io.BytesIO(pickle.dumps(line())), Hints(classes=("a",)))


def _edited(content: bytes, old: str, new: str) -> bytes:
    """A skops file whose schema says something else."""
    edited = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(edited, "w") as target:
        for entry in source.infolist():
            stored = source.read(entry)
            target.writestr(entry, stored.replace(old.encode(), new.encode()))
    return edited.getvalue()


WHOLE = {"sklearn-pickle": pickle.dumps(line()), "sklearn-skops": skops_dumps(line())}


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_file_is_refused_or_told_apart_and_never_more(data: st.DataObject) -> None:
    name, content = data.draw(st.sampled_from(sorted(WHOLE.items())))
    place = data.draw(st.integers(0, len(content) - 1))
    cut = data.draw(st.integers(0, 8))
    damaged = content[:place] + data.draw(st.binary(max_size=8)) + content[place + cut :]
    with contextlib.suppress(ValueError):
        assert all(FORMATS[name].untrusted_types(io.BytesIO(damaged))) or name == "sklearn-skops"
