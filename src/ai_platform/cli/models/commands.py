"""`models`: publish, look, promote, roll back, unalias, download, delete."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import orjson
import typer
from rich.console import Console
from rich.table import Table

from ai_platform.cli.app import app
from ai_platform.cli.connections import DataDir, settings_for
from ai_platform.cli.models.drafts import Extra, described_by
from ai_platform.cli.models.waiting import end_unless_it_answers, serving_line, steps
from ai_platform.errors import InvalidParameter
from ai_platform.settings import Settings

if TYPE_CHECKING:
    from ai_platform.models.registry.reading import ModelReader

console = Console(highlight=False)
models = typer.Typer(help="Published models: publish, list, show, promote, rollback, unalias, download, delete.")
app.add_typer(models, name="models", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

AliasOption = Annotated[str, typer.Option("--alias", help="The alias.")]


@models.command()
def publish(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    file: Annotated[Path, typer.Argument(help="The model file.", exists=True, dir_okay=False)],
    *,
    sample: Annotated[Path | None, typer.Option(help="Some rows of training data, as CSV or JSON lines.")] = None,
    classes: Annotated[str | None, typer.Option(help="Names of the classes, with commas between them.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="The format, when the file's ending does not say.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="A figure to keep, as name=value; more than once.")] = None,
    alias: Annotated[
        str | None, typer.Option(help="What shall name the version; the first becomes production.")
    ] = None,
    enforce_ranges: Annotated[
        bool, typer.Option("--enforce-ranges", help="Refuse values outside the sample's ranges.")
    ] = False,
    extra: Annotated[
        Extra | None, typer.Option(help="What becomes of an input's names that training did not have.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Longest run in seconds of one call, and of one attempt of a job.", min=0.001, max=86_400),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Validate a model file, sign what was found, publish it as the model's next version, and wait until it answers."""
    from ai_platform.models.loading.signing import signer
    from ai_platform.models.publishing import Publisher
    from ai_platform.training.current_user import current_user

    settings = settings_for(data_dir)
    described = described_by(
        name,
        file,
        sample,
        classes=classes,
        form=form,
        metrics=metric or [],
        enforce_ranges=enforce_ranges,
        timeout=timeout,
        extra=extra,
    )
    with steps() as on_step:
        made = Publisher.of(settings).publish(
            file,
            described,
            by=current_user(),
            signer=signer(settings.signing_key_file, settings.trusted_keys_dir),
            alias=alias,
            on_step=on_step,
        )
    if as_json:
        _print_json(msgspec.to_builtins(_reader(settings).version(name, made.version)))
        end_unless_it_answers(console, made.waited, settings)
        return
    named = f", now {' and '.join(made.aliases)}" if made.aliases else "; no alias names it yet"
    console.print(f"published: {name} version {made.version}{named}")
    console.print(f"served {made.report.form}" + (f": {made.report.why_native}" if made.report.why_native else ""))
    console.print(_inputs_table(made.manifest))
    _print_next_step(name, made.version, made.aliases)
    end_unless_it_answers(console, made.waited, settings)


@models.command("list")
def list_models(*, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """All models, with what their aliases name."""
    bodies = [msgspec.to_builtins(model) for model in _reader(settings_for(data_dir)).models()]
    if as_json:
        _print_json(bodies)
        return
    table = Table("model", "versions", "latest", "aliases")
    for body in bodies:
        named = "\n".join(f"{alias['name']} → {_shown(alias['targets'])}" for alias in body["aliases"])
        table.add_row(body["name"], str(body["versions"]), str(body["latest"] or "-"), named or "-")
    console.print(table if bodies else "no model is published; `ai-platform models publish NAME FILE` publishes one")


@models.command()
def show(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[int | None, typer.Argument(help="A version's number; without one, all versions.")] = None,
    *,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """A model's versions, or everything about one of them, with why it is served as it is."""
    settings = settings_for(data_dir)
    if version is not None:
        _show_version(msgspec.to_builtins(_reader(settings).version(name, version)), as_json=as_json)
        return
    bodies = [msgspec.to_builtins(one) for one in _reader(settings).versions(name)[0]]
    if as_json:
        _print_json(bodies)
        return
    table = Table("version", "format", "served", "size", "metrics", "aliases", "runs", "published", title=name)
    for body in bodies:
        metrics = "\n".join(f"{metric} {value:.4g}" for metric, value in body["metrics"].items())
        form = body["form"] + (f"\n[dim]{body['why_native']}[/]" if body["why_native"] else "")
        table.add_row(
            str(body["version"]), body["format"], form, f"{body['size'] / 1e6:.2f} MB", metrics or "-",
            ", ".join(body["aliases"]) or "-", serving_line(body["serving"]),
            f"{body['created_at'][:16]}\n{body['created_by']}",
        )  # fmt: skip
    console.print(table)


@models.command()
def promote(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    versions: Annotated[list[str], typer.Argument(help="A version's number, or several as number=weight.")],
    *,
    alias: AliasOption = "production",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let an alias name a version; or several with weights (`promote churn 3=90 4=10`), for a part of the callers."""
    from ai_platform.models.publishing import Publisher
    from ai_platform.training.current_user import current_user

    targets = tuple(_target(given) for given in versions)
    settings = settings_for(data_dir)
    with steps() as on_step:
        moved, waited = Publisher.of(settings).promote(name, alias, targets, by=current_user(), on_step=on_step)
    _show_alias(name, moved, as_json=as_json)
    end_unless_it_answers(console, waited, settings)


@models.command()
def rollback(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    *,
    alias: AliasOption = "production",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let an alias name again what it named before its last change."""
    from ai_platform.models.publishing import Publisher
    from ai_platform.training.current_user import current_user

    settings = settings_for(data_dir)
    with steps() as on_step:
        moved, waited = Publisher.of(settings).roll_back(name, alias, by=current_user(), on_step=on_step)
    _show_alias(name, moved, as_json=as_json)
    end_unless_it_answers(console, waited, settings)


@models.command()
def unalias(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    alias: Annotated[str, typer.Argument(help="The alias.")],
    data_dir: DataDir = None,
) -> None:
    """Remove an alias; the versions stay."""
    from ai_platform.models.publishing import Publisher
    from ai_platform.training.current_user import current_user

    Publisher.of(settings_for(data_dir)).remove_alias(name, alias, by=current_user())
    console.print(f"removed: alias {alias} of {name}; its versions stay")


@models.command()
def download(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[int, typer.Argument(help="The version's number.")],
    output: Annotated[Path, typer.Option(help="Where to write the file.")],
    data_dir: DataDir = None,
) -> None:
    """Write a version's file, with its manifest and signature beside it."""
    from rich.progress import Progress

    from ai_platform.models.registry.manifest import decode
    from ai_platform.training.model_file import ModelFile

    files = ModelFile.beside(output)
    reader = _reader(settings_for(data_dir))
    found = reader.find(name, version)
    with Progress(console=console) as progress:
        bar = progress.add_task(output.name, total=decode(found.manifest).size)
        with files.artifact.open("wb") as file:
            for part in reader.artifact(found):
                file.write(part)
                progress.advance(bar, len(part))
    files.manifest.write_bytes(found.manifest)
    if found.manifest_signature:
        files.signature.write_bytes(found.manifest_signature)
    console.print(f"written: {files.artifact}, with its manifest beside it")


@models.command()
def delete(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[int, typer.Argument(help="The version's number.")],
    *,
    with_aliases: Annotated[
        bool, typer.Option("--with-aliases", help="Remove the aliases too that name this version and no other.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete a version that no alias names and no unfinished job needs."""
    from ai_platform.models.publishing import Publisher
    from ai_platform.training.current_user import current_user

    removed = Publisher.of(settings_for(data_dir)).delete(name, version, by=current_user(), with_aliases=with_aliases)
    for alias in removed:
        console.print(f"removed: alias {alias} of {name}")
    console.print(f"deleted: {name} version {version}; its number is not given out again")


def _target(given: str) -> Any:
    from ai_platform.models.registry.aliases import Target

    number, _, weight = given.partition("=")
    if not number.isdigit() or not (weight or "1").isdigit():
        raise InvalidParameter("version", f"{given!r}: give a version's number, or number=weight")
    return Target(int(number), int(weight or 100))


def _reader(settings: Settings) -> "ModelReader":
    from ai_platform.models.registry.reading import ModelReader
    from ai_platform.storage.postgres import Database

    return ModelReader(Database.of(settings))


def _show_version(body: dict[str, Any], *, as_json: bool) -> None:
    from ai_platform.models.registry.manifest import decode

    if as_json:
        _print_json(body)
        return
    table = Table("", "", title=f"{body['model']} version {body['version']}", show_header=False)
    lines = {
        "format": body["format"],
        "served": body["form"] + (f": {body['why_native']}" if body["why_native"] else ""),
        "aliases": ", ".join(body["aliases"]) or "none",
        "runs": serving_line(body["serving"]),
        "classes": ", ".join(body["classes"] or []) or "none: it is a regressor",
        "size": f"{body['size'] / 1e6:.2f} MB, sha256 {body['sha256'][:16]}…",
        "signed": "yes" if body["signed"] else "no: a format of plain data",
        "libraries": ", ".join(f"{library} {number}" for library, number in body["libraries"].items()),
        "metrics": ", ".join(f"{metric} {value:.4g}" for metric, value in body["metrics"].items()) or "none",
        "published": f"{body['created_at'][:16]} by {body['created_by']}",
    }
    for what, value in lines.items():
        table.add_row(what, value)
    console.print(table)
    console.print(_inputs_table(decode(body["manifest"].encode())))


def _inputs_table(manifest: Any) -> Table:
    table = Table("input", "type", "seen in training", "example", title="inputs, in the order of training")
    for feature in manifest.signature.inputs:
        seen = "" if feature.minimum is None else f"{feature.minimum:g} to {feature.maximum:g}"
        if feature.categories:
            seen = ", ".join(map(str, feature.categories[:6])) + (", …" if len(feature.categories) > 6 else "")  # noqa: PLR2004
        kind = feature.type + (" or null" if feature.nullable else "")
        table.add_row(feature.name, kind, seen or "-", "-" if feature.example is None else str(feature.example))
    return table


def _print_next_step(name: str, version: int, aliases: tuple[str, ...]) -> None:
    if "production" in aliases:
        console.print(f"predict: POST /models/{name}/predict, or `ai-platform predict {name} --file rows.csv`")
    else:
        console.print(f"next: `ai-platform models promote {name} {version}`")


def _show_alias(name: str, alias: Any, *, as_json: bool) -> None:
    from ai_platform.models.registry.views import alias_view

    body = msgspec.to_builtins(alias_view(alias))
    if as_json:
        _print_json(body)
    else:
        before = f" (before: {_shown(body['previous'])})" if body["previous"] else ""
        console.print(f"{name}: {body['name']} → {_shown(body['targets'])}{before}")


def _shown(targets: list[dict[str, int]]) -> str:
    if len(targets) == 1:
        return f"version {targets[0]['version']}"
    whole = sum(target["weight"] for target in targets)
    return ", ".join(f"version {target['version']} {target['weight'] / whole:.0%}" for target in targets)


def _print_json(body: Any) -> None:
    typer.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
