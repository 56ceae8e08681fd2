"""The ``rnntext`` command. Results go to standard output, all else to standard error.

Exit status: 0 fine, 1 the work failed, 2 usage or recipe error, 130 interrupted. Nothing here imports torch
before a command needs it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntext import __version__, registry
from rnntext.contracts import KINDS
from rnntext.errors import RnntextError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from rnntext.progress import Reporter

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help()
        return 0
    if not given.debug:
        # Other packages' advice to developers is no news to a user of the command.
        warnings.simplefilter("ignore")
    try:
        status: int = given.work(given) or 0
        sys.stdout.flush()
    except RnntextError as error:
        if given.debug:
            raise
        print(f"rnntext: {error}" if error.exit_status == 1 else str(error), file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt as interruption:
        if given.debug:
            raise
        print(*interruption.args or ["interrupted; nothing was kept"], file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough (`| head`): no fault
        _give_up_output()
        return 0
    except OSError as error:  # a full disk, a folder that may not be written to
        if given.debug:
            raise
        _give_up_output()
        print(f"rnntext: {error}", file=sys.stderr)
        return 1
    return status


def _give_up_output() -> None:
    """Write what is still to be written, or see to it that standard output does not fail again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rnntext",
        description="Small, fast, private text models from a recipe.",
        epilog=(
            "examples:\n"
            "  rnntext copy sentiment                    a recipe and its data, to start from\n"
            "  rnntext run sentiment.toml                train it; the last line is the run folder\n"
            '  rnntext predict runs/sentiment-1 --text "I hate this boring movie"\n'
            "  rnntext list encoders                     what can stand in [encoder], with all options\n"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rnntext {__version__}")
    parser.set_defaults(debug=False)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, work: Callable[[argparse.Namespace], int | None], purpose: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=purpose, description=purpose, parents=[common])
        added.set_defaults(work=work)
        return added

    def takes_recipe(added: argparse.ArgumentParser) -> None:
        added.add_argument("recipe", metavar="RECIPE", help="a TOML file")
        added.add_argument(
            "--set",
            dest="settings",
            metavar="table.key=VALUE",
            action="append",
            default=[],
            help="overrule a value of the recipe; may be repeated",
        )

    run = command("run", _run, "train what a recipe describes and leave a model folder")
    takes_recipe(run)
    run.add_argument("--out", metavar="DIR", help="the run folder (default: runs/<name>-<number>)")
    run.add_argument("--force", action="store_true", help="replace a run that DIR holds already")
    run.add_argument("-q", "--quiet", action="store_true", help="print the run folder alone")
    takes_recipe(command("check", _check, "say whether a recipe is valid, with every problem; read no data"))
    takes_recipe(command("show", _show, "print every value of a recipe with its origin"))
    takes_recipe(command("describe", _describe, "print each stage with shapes, parameters and memory"))
    command("schema", _schema, "print the JSON Schema of recipes")
    command("recipes", _recipes, "list the recipes that come with rnntext")
    copy = command("copy", _copy, "copy a recipe that comes with rnntext, with its data, into this folder")
    copy.add_argument("name", metavar="NAME")
    listing = command("list", _list, "list all parts; with a kind, also their options")
    listing.add_argument("kind", metavar="KIND", nargs="?", help=", ".join(KINDS))
    predict = command("predict", _predict, "answer texts: one JSON object a line, in order")
    predict.add_argument("run", metavar="RUN", help="a run folder")
    predict.add_argument("file", metavar="FILE", nargs="?", default="-", help="texts, one a line (-: standard input)")
    predict.add_argument("--text", action="append", help="a text; may be repeated")
    predict.add_argument("--top-k", type=_positive, metavar="K", help="give the K most probable labels alone")
    evaluate = command("evaluate", _evaluate, "score a model on a labelled file")
    evaluate.add_argument("run", metavar="RUN", help="a run folder")
    evaluate.add_argument("file", metavar="FILE", help="labelled data of the recipe's dataset type")
    evaluate.add_argument("--json", action="store_true", help="print one flat object of metrics")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _run(given: argparse.Namespace) -> int:
    from rnntext.recipe import read_recipe

    recipe = read_recipe(given.recipe, given.settings)
    from rnntext.running import run
    from rnntext.summary import closing_table, group_tables

    finished = run(recipe, out=given.out, force=given.force, progress=_reporter(given.quiet))
    if not given.quiet:
        console = _console()
        network = f"{recipe.encoder.name} (this run)"
        console.print(closing_table(finished.metrics, network))
        for table in group_tables(finished.metrics, network):
            console.print(table)
    print(finished.path)
    if finished.interrupted:
        kept = finished.metrics["training"]["best_epoch"]
        print(f"interrupted; epoch {kept} was kept, and the folder predicts", file=sys.stderr)
        return INTERRUPTED
    return 0


def _check(given: argparse.Namespace) -> None:
    from rnntext.recipe import read_recipe

    recipe = read_recipe(given.recipe, given.settings)
    for text in recipe.left_behind:
        print(text, file=sys.stderr)
    print(f"{given.recipe}: valid")
    for key in recipe.needs:
        print(f"needs: {key}")


def _show(given: argparse.Namespace) -> None:
    from rnntext.recipe import read_recipe
    from rnntext.recipe_source import DEFAULT

    recipe = read_recipe(given.recipe, given.settings)
    for text in recipe.left_behind:
        print(text, file=sys.stderr)
    for table, values in recipe.values():
        lines = [
            (f"{key} = {_toml(value)}", str(recipe.origins.get((table, key), DEFAULT)))
            for key, value in values.items()
        ]
        width = max(len(left) for left, _ in lines)
        if table:
            print(f"\n[[{table.split('.')[0]}]]" if "." in table else f"\n[{table}]")
        for left, origin in lines:
            print(f"{left:<{min(width, 60)}}  # {origin}")
    for key in recipe.needs:
        print(f"\n# needs: {key}")


def _toml(value: Any) -> str:
    import tomlkit

    return "(none)" if value is None else tomlkit.item(value).as_string()


def _describe(given: argparse.Namespace) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    from rnntext.describing import describe
    from rnntext.recipe import read_recipe

    recipe = read_recipe(given.recipe, given.settings)
    found = describe(recipe, lambda text: print(text, file=sys.stderr))
    texts, steps = found.batch
    table = Table(title=f"{recipe.name}: the longest batch, B {texts}, T {steps}", box=SIMPLE, title_justify="left")
    for heading in ("stage", "type", "gives"):
        table.add_column(heading)
    table.add_column("parameters", justify="right")
    for stage in found.stages:
        table.add_row(stage.name, stage.part, stage.gives, f"{stage.parameters:,}" if stage.parameters else "")
    console = _console()
    console.print(table)
    parts = ", ".join(f"{name} {size:,.1f}" for name, size in found.megabytes.items())
    total = sum(found.megabytes.values())
    parameters = sum(stage.parameters for stage in found.stages)
    console.print(f"parameters: {parameters:,}", highlight=False)
    console.print(f"memory of a training step at that batch: {total:,.1f} MB ({parts})", highlight=False)


def _schema(given: argparse.Namespace) -> None:
    from rnntext.recipe_schema import recipe_schema

    print(json.dumps(recipe_schema(), indent=1, ensure_ascii=False))


def _recipes(given: argparse.Namespace) -> None:
    from rnntext.shipping import shipped_recipes

    recipes = shipped_recipes()
    width = max(len(recipe.name) for recipe in recipes)
    for recipe in recipes:
        print(f"{recipe.name:<{width}}  {recipe.purpose}")


def _copy(given: argparse.Namespace) -> None:
    from rnntext.shipping import copy_recipe

    for file in copy_recipe(given.name, Path()):
        print(file)


def _list(given: argparse.Namespace) -> None:
    if given.kind is None:
        for kind in KINDS:
            found = registry.entries(kind)
            print(kind)
            width = max(len(entry.name) for entry in found)
            for entry in found:
                others = [alias for alias, name in registry.ALIASES.get(kind, {}).items() if name == entry.name]
                also = f" (also: {', '.join(others)})" if others else ""
                print(f"  {entry.name:<{width}}  {entry.distribution} {entry.version}{also}")
        return
    entries = registry.entries(given.kind)
    from rnntext.options import options_of, type_text

    for entry in entries:
        part = registry.get(given.kind, entry.name)
        print(f"{entry.name}  ({entry.distribution} {entry.version})")
        if part.__doc__:
            print(f"  {part.__doc__.strip().splitlines()[0]}")
        for option in options_of(part, given.kind).values():
            default = "required" if option.required else f"default {_toml(option.default)}"
            print(f"    {option.name}: {type_text(option)}; {default}")
            if option.help:
                print(f"        {option.help}")
        print()


def _predict(given: argparse.Namespace) -> int:
    from rnntext.answering import answer_lines, text_lines_of
    from rnntext.prediction import load

    if given.text is not None and given.file != "-":
        raise UsageError(f"give --text or a file, not both: {given.file}")
    model = load(given.run)
    at_terminal = given.text is None and given.file == "-" and sys.stdin.isatty()
    if at_terminal:
        print("texts from the terminal, one a line; Ctrl-D ends", file=sys.stderr)
    failed = 0
    with text_lines_of(given.file, given.text) as lines:
        for answer in answer_lines(model, lines, given.top_k, at_once=at_terminal):
            failed += "error" in answer and "line" in answer
            print(_json_line(answer))
    counts = model.counts
    if counts.cut:
        print(
            f"{counts.cut:,} of {counts.texts:,} texts were cut at {model.recipe.max_tokens:,} tokens",
            file=sys.stderr,
        )
    if counts.without_tokens:
        print(
            f"{counts.without_tokens:,} of {counts.texts:,} texts had no tokens: read as one <unk>", file=sys.stderr
        )
    if failed:
        print(f"{failed:,} lines could not be read", file=sys.stderr)
    return 1 if failed else 0


def _json_line(values: Any) -> str:
    line = json.dumps(values, ensure_ascii=False)
    try:
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, or a terminal without these letters
        return json.dumps(values)
    return line


def _evaluate(given: argparse.Namespace) -> None:
    from rnntext.prediction import load
    from rnntext.summary import scores_table

    counts = load(given.run).evaluate(given.file)
    if given.json:
        print(json.dumps(counts.scores()))
        return
    console = _console()
    console.print(scores_table(counts.scores(), counts.texts))
    for field, groups in counts.groups().items():
        for value, scores in groups.items():
            shown = "  ".join(f"{name} {number:.4f}" for name, number in scores.items() if name != "texts")
            console.print(f"{field} = {value}: {scores['texts']:,} texts, {shown}", highlight=False)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 120  # a pipe has no width; tables must not fold there
    return console


def _reporter(quiet: bool) -> Reporter:
    from rnntext.progress import BarReporter, LineReporter

    if quiet:
        return LineReporter(lambda text: None)
    if sys.stderr.isatty():
        return BarReporter(_console(stderr=True))
    return LineReporter(lambda text: print(text, file=sys.stderr, flush=True))
