"""Validation: whatever can be wrong with an artifact is refused with its own sentence, and nothing of it is done.

They run side by side in one fixture, because each is a process of its own; the tests look at what came of them.
"""

import hashlib
import pickle
import socket
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from ai_platform import settings as configuration
from ai_platform.errors import ArtifactRefused
from ai_platform.models.loading.loader import Loader, LoaderSettings, ServedModel
from ai_platform.models.loading.signing import signer
from ai_platform.models.loading.trust import require_trusted
from ai_platform.models.registry.manifest import Draft, decode, encode
from ai_platform.models.registry.versions import Version
from ai_platform.models.validation.validate import Signed, Validated, Validator
from ai_platform.runtimes.base.signature import Feature
from harness import Iris

# On a busy machine importing scikit-learn takes several seconds; only what hangs is given few.
SECONDS, HANG_SECONDS = 60.0, 2.0
ROWS = load_iris().data[::15].tolist()
INPUTS = tuple(
    Feature(name=name, minimum=0.0, maximum=10.0)
    for name in ("sepal_length", "sepal_width", "petal_length", "petal_width")
)
MISBEHAVIOUR = {
    "hangs": "while True: pass",
    "eats memory": "held = []\nwhile True: held.append(bytes(1 << 26))",
    "crashes": "import ctypes\nctypes.string_at(0)",
    "runs a command": "import os\nos.system('touch {trap}')",
    # It swallows the error, and loads.
    "starts a program": ("import subprocess\ntry: subprocess.run(['touch', '{trap}'])\nexcept OSError: pass"),
    "opens a socket": "import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)",
    "writes a file": "open('{trap}', 'w')",
    "ends the process": "import os\nos._exit(0)",
    "raises": "raise RuntimeError('its own words')",
}
Outcome = Validated | str


class _Executed:
    """A pickle that executes source when it is opened."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, (self._source,)


class Bench:
    """Validates artifacts side by side."""

    def __init__(self, folder: Path, iris: Iris, port: int) -> None:
        models = {"trusted_keys_dir": iris.keys, "validation_seconds": SECONDS, "validation_memory_mb": 700}
        settings = configuration.load(data_dir=folder)
        self.settings = settings.model_copy(update={"models": settings.models.model_copy(update=models)})
        hasty = self.settings.models.model_copy(update={"validation_seconds": HANG_SECONDS})
        self.hasty = self.settings.model_copy(update={"models": hasty})
        self.iris, self.folder, self.trap, self.port = iris, folder, folder / "trap", port
        self.threads = ThreadPoolExecutor(3)
        self.signed = iris.files.signed()

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name.replace(" ", "-") / "artifact"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        return path

    def validate(self, path: Path, described: Signed | Draft, *, is_signed: bool = False) -> Outcome:
        settings = self.hasty if path.parent.name == "hangs" else self.settings
        try:
            return Validator.of(settings).validate(path, described, is_signed=is_signed, workdir=path.parent)
        except ArtifactRefused as error:
            return error.detail

    def later(
        self, name: str, content: bytes, described: Signed | Draft, *, is_signed: bool = False
    ) -> Future[Outcome]:
        return self.threads.submit(self.validate, self.file(name, content), described, is_signed=is_signed)

    def form_of(self, validated: Validated) -> bytes:
        return (validated.compiled or self.iris.files.artifact).read_bytes()

    def served_by(self, validated: Validated, content: bytes) -> ServedModel:
        """Load the signed iris from a store that has nothing but these bytes, for the form that was validated."""
        form = self.form_of(validated)
        wanted = hashlib.sha256(form).digest()
        version = Version(
            model="iris",
            version=1,
            sha256=validated.sha256,
            format=validated.manifest.format,
            manifest=self.signed.manifest,
            manifest_signature=self.signed.signature,
            compiled_sha256=wanted if validated.compiled else None,
            compiled_size=len(form) if validated.compiled else None,
            validation=msgspec.to_builtins(validated.report),
            created_at=datetime.now(UTC),
            created_by="test",
        )

        def fetch(sha256: bytes) -> Iterator[bytes]:
            assert sha256 == wanted
            yield content

        empty = self.settings.models.model_copy(update={"cache_dir": self.folder / hashlib.sha256(content).hexdigest()})
        return Loader(LoaderSettings.of(self.settings.model_copy(update={"models": empty})), fetch).load(version)

    def validated_already(self) -> Outcome:
        return self.iris.validated

    def misbehaving(self, name: str) -> Future[Outcome]:
        source = MISBEHAVIOUR[name].format(trap=self.trap, port=self.port)
        return self.later(name, _loaded_as(source), Draft(model="m", format="python", inputs=INPUTS), is_signed=True)


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, iris: Iris, listener: socket.socket) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("validating"), iris, listener.getsockname()[1])
    with made.threads:
        yield made


@pytest.fixture(scope="module")
def outcomes(bench: Bench) -> Callable[[str], Outcome]:
    artifact = bench.iris.files.artifact.read_bytes()
    estimator = LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
    draft = Draft(
        model="flowers",
        format="sklearn-pickle",
        classes=("setosa", "versicolor", "virginica"),
        inputs=INPUTS,
        rows=ROWS,
        metrics={"accuracy": 0.9},
        enforce_ranges=True,
    )
    running = {
        "signed": bench.threads.submit(bench.validated_already),
        "draft": bench.later("draft", pickle.dumps(estimator), draft, is_signed=True),
        **{name: bench.misbehaving(name) for name in MISBEHAVIOUR},
        "unsigned": bench.later("unsigned", pickle.dumps(_Executed(f"open({str(bench.trap)!r}, 'w')")), draft),
        "unsigned manifest": bench.later(
            "unsigned manifest", artifact, Signed(bench.signed.manifest, b""), is_signed=True
        ),
        "flipped": bench.later("flipped", bytes([artifact[0] ^ 1]) + artifact[1:], bench.signed),
        "cut short": bench.later("cut short", artifact[:-1], bench.signed),
        "golden": bench.later("golden", artifact, _resigned(bench)),
        "another version": bench.later("another version", _of_another_version(estimator), draft, is_signed=True),
        "nonsense": bench.later("nonsense", b"nothing that anybody wrote", draft, is_signed=True),
        "unknown format": bench.later("unknown format", b"x", Draft(model="m", format="shell"), is_signed=True),
        "bad name": bench.later("bad name", b"x", Draft(model="../m", format="sklearn-pickle"), is_signed=True),
        "empty": bench.later("empty", b"", draft, is_signed=True),
        "stranger": bench.later("stranger", artifact, _by_a_stranger(bench)),
    }
    return lambda name: running[name].result(120)


def test_a_signed_model_is_proven_and_its_manifest_kept(outcomes: Callable[[str], Outcome], bench: Bench) -> None:
    validated = outcomes("signed")
    assert isinstance(validated, Validated), validated
    assert validated.manifest == decode(bench.signed.manifest)
    assert validated.sha256.hex() == validated.manifest.sha256
    assert validated.report.sandbox == ["limits", "landlock", "seccomp"]
    assert 0 < validated.report.native_seconds_per_row < 1
    assert validated.report.peak_bytes > 20_000_000


def test_a_draft_becomes_a_manifest_with_golden_rows_of_the_sample(outcomes: Callable[[str], Outcome]) -> None:
    validated = outcomes("draft")
    assert isinstance(validated, Validated), validated
    manifest = validated.manifest
    assert manifest.golden.rows == ROWS[:10]
    assert manifest.golden.predictions == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [feature.name for feature in manifest.signature.inputs] == [feature.name for feature in INPUTS]
    assert all(feature.enforced for feature in manifest.signature.inputs)
    assert manifest.signature.classes == ("setosa", "versicolor", "virginica")
    assert manifest.libraries["scikit-learn"] == sklearn.__version__
    assert (manifest.model, manifest.metrics) == ("flowers", {"accuracy": 0.9})


def test_the_form_that_serves_is_the_one_that_the_report_names(outcomes: Callable[[str], Outcome]) -> None:
    for name in ("signed", "draft"):
        validated = outcomes(name)
        assert isinstance(validated, Validated)
        assert (
            (validated.compiled is None)
            == (validated.report.form == "native")
            == (validated.report.why_native is not None)
        )
        assert validated.compiled is None or validated.compiled.stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("flipped", "bytes are not the ones that its manifest describes"),
        ("cut short", "bytes are not the ones that its manifest describes: their number differs"),
        ("stranger", "signed by a key that is not trusted here"),
        ("unsigned", "format sklearn-pickle runs code when it is opened, and no trusted key has signed this one"),
        ("unsigned manifest", "no trusted key has signed this one"),
        ("golden", "does not reproduce the golden outputs"),
        ("another version", "written by scikit-learn 0.0.1, and this platform has " + sklearn.__version__),
        ("unknown format", "format 'shell' is not one that this platform loads"),
        ("bad name", "a model's name has 1 to 63"),
        ("empty", "not a file with content"),
        ("hangs", f"did not load and predict within {HANG_SECONDS:g} seconds"),
        ("eats memory", "needs more memory than validation allows"),
        ("crashes", "crashed the process that tried it (SIGSEGV)"),
        ("runs a command", "tried to start a program"),
        ("starts a program", "tried to start a program"),
        ("opens a socket", "tried to open a network connection"),
        ("writes a file", "tried to open or change a file that it may not"),
        ("ends the process", "it ended the process that tried it"),
        ("raises", "the model cannot be loaded: RuntimeError was raised"),
    ],
)
def test_it_is_refused_with_its_own_sentence(outcomes: Callable[[str], Outcome], name: str, words: str) -> None:
    assert words in str(outcomes(name))


def test_bytes_of_no_format_are_refused(outcomes: Callable[[str], Outcome]) -> None:
    assert isinstance(outcomes("nonsense"), str)


def test_what_serves_is_the_proven_form_and_nothing_else_is_fetched(
    outcomes: Callable[[str], Outcome], bench: Bench
) -> None:
    validated = outcomes("signed")
    assert isinstance(validated, Validated)
    served = bench.served_by(validated, bench.form_of(validated))
    assert (served.form, served.bytes) == (validated.report.form, len(bench.form_of(validated)))
    assert served.loaded.predict(ROWS).predictions == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_flipped_byte_in_the_form_that_serves_is_refused_and_no_other_form_takes_its_place(
    outcomes: Callable[[str], Outcome], bench: Bench
) -> None:
    validated = outcomes("signed")
    assert isinstance(validated, Validated)
    spoiled = bytearray(bench.form_of(validated))
    spoiled[-1] ^= 1
    with pytest.raises(ArtifactRefused, match="not the ones that were published"):
        bench.served_by(validated, bytes(spoiled))


def test_nothing_of_any_of_them_was_executed(
    outcomes: Callable[[str], Outcome], bench: Bench, listener: socket.socket
) -> None:
    for name in (*MISBEHAVIOUR, "unsigned"):
        outcomes(name)
    assert not bench.trap.exists()
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_link_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(bench.iris.files.artifact)
    assert "cannot be opened" in str(bench.validate(link, bench.signed))


def test_a_skops_file_may_hold_the_types_that_the_operator_trusts_and_no_others() -> None:
    kinds = ["sklearn.tree._tree.Tree", "numpy.dtype"]
    require_trusted("sklearn-skops", kinds, signed=False, operator_types=kinds)
    require_trusted("sklearn-skops", kinds, signed=True, operator_types=[])
    with pytest.raises(ArtifactRefused, match=r"types that are not trusted here: sklearn\.tree\._tree\.Tree;"):
        require_trusted("sklearn-skops", kinds, signed=False, operator_types=["numpy.dtype"])


def test_no_list_of_types_makes_code_trusted() -> None:
    with pytest.raises(ArtifactRefused, match="runs code"):
        require_trusted("sklearn-pickle", ["pickle"], signed=False, operator_types=["pickle"])


def _resigned(bench: Bench) -> Signed:
    """Signed by the trusted key, with golden outputs that the model does not give."""
    described = decode(bench.signed.manifest)
    golden = msgspec.structs.replace(described.golden, predictions=[2] * len(described.golden.rows))
    manifest = encode(msgspec.structs.replace(described, golden=golden))
    return Signed(manifest, signer(bench.iris.signing_key, bench.iris.keys).sign(manifest))


def _by_a_stranger(bench: Bench) -> Signed:
    key = signer(bench.folder / "strange" / "signing.pem", bench.folder / "strange-keys")
    return Signed(bench.signed.manifest, key.sign(bench.signed.manifest))


def _of_another_version(estimator: LogisticRegression) -> bytes:
    content, present = pickle.dumps(estimator), sklearn.__version__.encode()
    assert content.count(present) == 1
    assert len(present) == 5
    return content.replace(present, b"0.0.1")


def _loaded_as(source: str) -> bytes:
    """A Python model that executes this source when it is loaded."""
    model = "class Model:\n    def predict(self, rows):\n        return [0.0 for _ in rows]\n    def load(self):\n"
    return (model + textwrap.indent(source, " " * 8)).encode()
