"""`python`: one source file with one class that predicts. It is executed, so only when a trusted key has signed it.

The contract of the file:

- It defines exactly one class with a method `predict`, or several of which one is named `Model`.
- The class is made without arguments. If it has `load`, that is called once, without arguments, before the first
  prediction; if it returns something other than None, that predicts instead (so that `load` can be a classmethod).
- `predict(rows)` gets a list of lists, one a row, values in the order of the inputs: float, int, str, bool, or None
  where a value is missing. It returns one prediction a row, as a list or an array; or a dict with `predictions` and,
  for a classifier, `probabilities` (one row of numbers a row, in the order of the classes); or the two as a tuple. It
  is called by several threads at once, and must give the same outputs for the same rows.
- `inputs` (optional) names what a row holds: a list of names of numbers; or a dict of name to type (`number`,
  `integer`, `string`, `boolean`) or to the fields of a feature (`{"type": "string", "nullable": True}`). Without it,
  names and types are the sample's.
- `max_batch_size` (optional) is how many rows `predict` takes at a time: 1 for a model that takes one row. More rows
  are given to it one call after another.
- `classes` (optional) makes it a classifier: a list of what it predicts; or a dict of name to what it predicts for
  it (`{"setosa": 0}`), in the order of the probabilities.

The file stands alone: it imports installed libraries, and no file beside it.
"""

import ast
import hashlib
import linecache
import platform
import sys
import types
from typing import Any, BinaryIO

import msgspec

from ai_platform.runtimes.base.runtime import Format, Hints, LoadedModel, Outputs, Rows, WrongOutputs, joined
from ai_platform.runtimes.base.sample_columns import ignored_columns
from ai_platform.runtimes.base.signature import Feature, Signature

CLASS_NAME = "Model"
_PAIR = 2


class PythonRuntime:
    """Executes source that the one loader has verified."""

    format = Format(
        name="python",
        endings=(".py",),
        runs_code=True,
        computes_in_float32=True,
        only_apart=True,
        advice_together=(
            "let `predict` answer each row of its list, or say `max_batch_size = 1` in the class for a row a call"
        ),
    )

    def untrusted_types(self, artifact: BinaryIO) -> list[str]:
        """Source is executed as a whole. It is parsed here, and not run.

        Raises:
            ValueError: it is not Python, or defines no class with `predict`.
        """
        tree = _parsed(artifact.read())
        artifact.seek(0)
        if not any(isinstance(node, ast.ClassDef) and _defines_predict(node) for node in ast.walk(tree)):
            raise ValueError("the source defines no class with a method `predict`")
        return ["python source"]

    def read_signature(self, artifact: BinaryIO, hints: Hints) -> Signature:
        """From the class' `inputs` and `classes`, completed by the hints. Executes the source.

        Raises:
            ValueError: neither the class nor a sample says what the inputs are, or what it says is not of its form.
            Exception: whatever the source raises.
        """
        kind = _class_in(artifact.read())
        inputs = _inputs(getattr(kind, "inputs", None), hints)
        names, values = _classes(getattr(kind, "classes", None))
        if hints.classes is not None:
            if values is not None and len(values) != len(hints.classes):
                raise ValueError(f"--classes names {len(hints.classes)} classes, and the model has {len(values)}")
            names, values = hints.classes, values or hints.classes
        return Signature(
            inputs=inputs,
            classes=names,
            class_values=None if values == names else values,
            ignored=ignored_columns(inputs, hints),
        )

    def load(self, artifact: BinaryIO, signature: Signature) -> LoadedModel:
        """Execute the source, make its class, and let it load.

        Raises:
            ValueError: it is not of this format, or declares other inputs than the signature's.
            Exception: whatever the source raises.
        """
        kind = _class_in(artifact.read())
        declared = getattr(kind, "inputs", None)
        if declared is not None and list(declared) != [feature.name for feature in signature.inputs]:
            raise ValueError("the signature has other inputs than the class declares")
        model = kind()
        most_rows = _most_rows(model)
        if callable(getattr(model, "load", None)):
            loaded = model.load()
            model = model if loaded is None else loaded
        return _PythonModel(model, signature, most_rows)

    def libraries(self) -> dict[str, str]:
        """Python itself; which libraries a source imports it does not say."""
        return {"python": platform.python_version()}


class _PythonModel:
    def __init__(self, model: Any, signature: Signature, most_rows: int | None) -> None:
        self._model = model
        self._most_rows = most_rows
        values = signature.class_values or signature.classes
        self._places = None if values is None else {value: number for number, value in enumerate(values)}

    def predict(self, rows: Rows) -> Outputs:
        size = self._most_rows or len(rows)
        parts = [self._part(rows[start : start + size]) for start in range(0, len(rows), size)]
        return parts[0] if len(parts) == 1 else joined(parts)

    def _part(self, rows: Rows) -> Outputs:
        answered = self._model.predict([list(row) for row in rows])
        predictions, probabilities = _columns(answered)
        outputs = Outputs(predictions, self._numbers(predictions), probabilities)
        misfit = outputs.misfit(len(rows))
        if misfit is not None:
            raise WrongOutputs(misfit)
        return outputs

    def _numbers(self, predictions: list[Any]) -> list[int] | None:
        if self._places is None:
            return None
        try:
            return [self._places[prediction] for prediction in predictions]
        except (KeyError, TypeError):
            raise WrongOutputs("predict gave a class that is not one of the model's `classes`") from None


def _most_rows(model: Any) -> int | None:
    """Rows that one call of `predict` takes; None for any number."""
    said = getattr(model, "max_batch_size", None)
    if said is None or (type(said) is int and said >= 1):
        return said
    raise ValueError("`max_batch_size` of the class must be a whole number from 1")


def _columns(answered: Any) -> tuple[list[Any], list[list[float]] | None]:
    if isinstance(answered, dict) and "predictions" in answered:
        predictions, probabilities = answered["predictions"], answered.get("probabilities")
    elif isinstance(answered, tuple) and len(answered) == _PAIR:
        predictions, probabilities = answered
    else:
        predictions, probabilities = answered, None
    return _list_of("predictions", predictions), (
        None if probabilities is None else _list_of("probabilities", probabilities)
    )


def _list_of(name: str, given: Any) -> list[Any]:
    found = _plain(given)
    if not isinstance(found, list):
        kind = type(given).__name__
        raise WrongOutputs(f"predict gave {name} as {kind}, and not as a list or an array with one a row")
    return found


def _plain(values: Any) -> Any:
    """Arrays and the scalars of NumPy as lists and plain values."""
    if hasattr(values, "to_numpy"):  # a table or a column of pandas
        values = values.to_numpy()
    if hasattr(values, "tolist"):
        values = values.tolist()
    return [_plain(value) for value in values] if isinstance(values, list | tuple) else values


def _parsed(source: bytes) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"it is no Python source: {getattr(error, 'msg', type(error).__name__)}") from error


def _defines_predict(node: ast.ClassDef) -> bool:
    return any(isinstance(part, ast.FunctionDef) and part.name == "predict" for part in node.body)


def _class_in(source: bytes) -> type:
    _parsed(source)
    name = f"ai_platform_python_model_{hashlib.sha256(source).hexdigest()[:16]}"
    module = types.ModuleType(name)
    # Dataclasses and pickling look a class' module up; and a traceback shows the lines of the source.
    module.__file__, module.__package__ = f"<{name}>", ""
    linecache.cache[module.__file__] = (
        len(source),
        None,
        source.decode("utf-8", "replace").splitlines(keepends=True),
        name,
    )
    sys.modules[name] = module
    exec(compile(source, module.__file__, "exec"), module.__dict__)  # noqa: S102  # the loader has verified it
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == name and callable(getattr(value, "predict", None))
    ]
    named = [kind for kind in found if kind.__name__ == CLASS_NAME]
    if len(named or found) != 1:
        raise ValueError(f"the source must define one class with `predict`, or name one `{CLASS_NAME}`")
    return (named or found)[0]


def _inputs(declared: Any, hints: Hints) -> tuple[Feature, ...]:
    if declared is None:
        if hints.inputs is None:
            raise ValueError("give --sample, or declare `inputs` in the class")
        return hints.inputs
    places = {feature.name: place for place, feature in enumerate(hints.inputs or ())}
    named = declared if isinstance(declared, dict) else dict.fromkeys(declared)
    if not named:
        raise ValueError("`inputs` of the class names nothing")
    return tuple(
        _feature(name, given, hints.column(places[name], _kind(given)) if name in places else None)
        for name, given in named.items()
    )


def _kind(given: Any) -> Any:
    """The type that the class declares of an input; numbers where it declares none."""
    return given.get("type", "number") if isinstance(given, dict) else given or "number"


def _feature(name: str, given: Any, hint: Feature | None) -> Feature:
    shown = {} if hint is None else msgspec.to_builtins(hint)
    fields = given if isinstance(given, dict) else {} if given is None else {"type": given}
    if fields.get("type", "number") != shown.get("type", "number"):
        shown = {}  # ranges and examples of another type say nothing of this one
    try:
        return msgspec.convert({**shown, **fields, "name": name}, Feature)
    except (msgspec.ValidationError, TypeError) as error:
        raise ValueError(f"`inputs` of the class does not describe {name!r}: {error}") from error


def _classes(declared: Any) -> tuple[tuple[str, ...] | None, tuple[Any, ...] | None]:
    if declared is None:
        return None, None
    if isinstance(declared, dict):
        return tuple(str(name) for name in declared), tuple(declared.values())
    return tuple(value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in declared), tuple(
        declared
    )
