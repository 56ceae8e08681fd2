"""What each ``rnntext`` command does, given its arguments; results are printed to standard output.

Each function imports what it needs when it is called, so that no command waits for torch in vain.
"""

from __future__ import annotations

import json
import shlex
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntext import registry
from rnntext.contracts import KINDS
from rnntext.discovery import ALLOWED, left_out, unreadable
from rnntext.errors import RecipeError, UsageError
from rnntext.terminal import console

if TYPE_CHECKING:
    from rnntext.progress import Reporter

INTERRUPTED = 130
"""Exit status after Ctrl-C."""
FORMATS = ("json", "conll")
"""What ``predict`` can write; the first unless asked otherwise."""


def run(given: Namespace) -> int:
    """Train what a recipe describes, once or with several seeds."""
    from rnntext.recipe import read_recipe

    recipe = read_recipe(given.recipe, given.settings)
    if given.seeds is not None:
        return _run_seeds(given, f"{recipe.encoder.name} (these runs)")
    from rnntext import running
    from rnntext.summary import closing_table, group_tables

    finished = running.run(recipe, out=given.out, force=given.force, progress=_reporter(given.quiet))
    if not given.quiet:
        printed = console()
        network = f"{recipe.encoder.name} (this run)"
        printed.print(closing_table(finished.metrics, network))
        for table in group_tables(finished.metrics, network):
            printed.print(table)
        if recipe.leaks and hasattr(recipe.head.part, "next_token"):
            print(
                "LEAKED: these figures say nothing of what the model can do. To see what it can: "
                f"rnntext generate {finished.path} --prompt TEXT --length 200",
                file=sys.stderr,
            )
    print(finished.path)
    if finished.interrupted:
        kept = finished.metrics["training"]["best_epoch"]
        print(f"interrupted; epoch {kept} was kept, and the folder predicts", file=sys.stderr)
        return INTERRUPTED
    return 0


def _run_seeds(given: Namespace, network: str) -> int:
    from rnntext.seeds import run_seeds
    from rnntext.summary import seeds_table

    finished = run_seeds(
        given.recipe,
        given.seeds,
        given.settings,
        out=given.out,
        force=given.force,
        progress=lambda: _reporter(given.quiet),
    )
    if not given.quiet:
        console().print(seeds_table(finished.summary, network))
    print(finished.path)
    if finished.interrupted:
        print(f"interrupted; {len(finished.runs)} of {given.seeds} seeds were finished", file=sys.stderr)
        return INTERRUPTED
    return 0


def check(given: Namespace) -> None:
    """Say whether a recipe is valid."""
    from rnntext.recipe import read_recipe

    recipe = read_recipe(given.recipe, given.settings)
    for text in recipe.left_behind:
        print(text, file=sys.stderr)
    print(f"{given.recipe}: valid")
    if recipe.leaks:
        from rnntext.evaluation import LEAKS

        what = " and ".join(LEAKS[leak] for leak in sorted(recipe.leaks))
        print(f"LEAKED: the encoder reads {what}; every figure of a run is marked", file=sys.stderr)
    for key in recipe.needs:
        print(f"needs: {key}")


def show(given: Namespace) -> None:
    """Print every value of a recipe with its origin."""
    from rnntext.listing import as_toml
    from rnntext.recipe import read_recipe
    from rnntext.recipe_source import DEFAULT

    recipe = read_recipe(given.recipe, given.settings)
    for text in recipe.left_behind:
        print(text, file=sys.stderr)
    for table, values in recipe.values():
        lines = [
            (f"{key} = {as_toml(value)}", str(recipe.origins.get((table, key), DEFAULT)))
            for key, value in values.items()
        ]
        width = max(len(left) for left, _ in lines)
        if table:
            print(f"\n[[{table.split('.')[0]}]]" if "." in table else f"\n[{table}]")
        for left, origin in lines:
            print(f"{left:<{min(width, 60)}}  # {origin}")
    for key in recipe.needs:
        print(f"\n# needs: {key}")


def describe(given: Namespace) -> None:
    """Print each stage of a recipe's network, and what its data are like; draw the latter if asked to."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from rnntext import describing, zipf
    from rnntext.recipe import read_recipe
    from rnntext.running import needs_problem

    recipe = read_recipe(given.recipe, given.settings)
    if given.zipf is not None:
        zipf.check_plot(given.zipf)
        if recipe.needs:
            raise RecipeError([needs_problem(recipe, key) for key in recipe.needs])
    found = describing.describe(recipe, lambda text: print(text, file=sys.stderr))
    texts, steps = found.batch
    table = Table(title=f"{recipe.name}: the longest batch, B {texts}, T {steps}", box=SIMPLE, title_justify="left")
    for heading in ("stage", "type", "gives"):
        table.add_column(heading)
    table.add_column("parameters", justify="right")
    for stage in found.stages:
        parameters = f"{stage.parameters:,}" if stage.parameters else ""
        table.add_row(stage.name, stage.part, Text(stage.gives), parameters)  # [b is no markup
    printed = console()
    printed.print(table)
    parts = ", ".join(f"{name} {size:,.1f}" for name, size in found.megabytes.items())
    total = sum(found.megabytes.values())
    printed.print(f"parameters: {sum(stage.parameters for stage in found.stages):,}", highlight=False)
    printed.print(f"memory of a training step at that batch: {total:,.1f} MB ({parts})", highlight=False)
    if found.data is not None:
        for counts in describing.data_tables(found.data):
            printed.print(counts, highlight=False)
        if given.zipf is not None:
            zipf.draw(found.data.train, recipe.name, given.zipf, found.cut)
            print(given.zipf)


def schema(given: Namespace) -> None:
    """Print the JSON Schema of recipes."""
    from rnntext.recipe_schema import recipe_schema

    print(json.dumps(recipe_schema(), indent=1, ensure_ascii=False))
    for kind in KINDS:
        for _, error in registry.load_all(kind)[1]:
            print(f"left out: {error}", file=sys.stderr)


def recipes(given: Namespace) -> None:
    """List the recipes that come with rnntext."""
    from rnntext.shipping import shipped_recipes

    recipes = shipped_recipes()
    width = max(len(recipe.name) for recipe in recipes)
    for recipe in recipes:
        print(f"{recipe.name:<{width}}  {recipe.purpose}")


def copy(given: Namespace) -> None:
    """Copy a recipe and its data into the current folder."""
    from rnntext.shipping import copy_recipe

    for file in copy_recipe(given.name, Path()):
        print(file)


def list_parts(given: Namespace) -> None:
    """List all parts; of one kind, with their options."""
    from rnntext.listing import lines_of_all, lines_of_kind

    for line in lines_of_all() if given.kind is None else lines_of_kind(given.kind):
        print(line)
    if out := left_out():
        print(f"{ALLOWED} leaves out: {', '.join(out)}", file=sys.stderr)
    for fault in unreadable():
        print(f"the metadata of a package cannot be read, so its parts are not known: {fault}", file=sys.stderr)


def new_plugin(given: Namespace) -> None:
    """Write a package with a part of one's own, and say what to do with it."""
    from rnntext import plugin_template

    files = plugin_template.new_plugin(given.name, given.kind, given.out)
    for file in files:
        print(file)
    folder = shlex.quote(given.name if given.out is None else given.out)
    part = plugin_template.part_name(given.name, given.kind)
    print(f"\nIt works as it is. Next:\n  cd {folder}\n  pip install -e '.[dev]'")
    recipe = f"recipes/{part}.toml"
    for command in (f"list {given.kind}", f"run {recipe}", f"check-plugin {part} --recipe {recipe}"):
        print(f"  rnntext {command}")
    print("  pytest && mypy")


def predict(given: Namespace) -> int:
    """Answer texts: one JSON object a line, or columns of tokens and tags."""
    from rnntext.answering import answer_lines, columns_of, text_lines_of
    from rnntext.loading import load

    if given.text is not None and given.file != "-":
        raise UsageError(f"give --text or a file, not both: {given.file}")
    if given.format == "conll" and given.top_k is not None:
        raise UsageError("columns hold one sequence of tags; leave out --top-k, or --format conll")
    model = load(given.run)
    at_terminal = given.text is None and given.file == "-" and sys.stdin.isatty()
    if at_terminal:
        print("texts from the terminal, one a line; Ctrl-D ends", file=sys.stderr)
    failed = 0
    with text_lines_of(given.file, given.text) as lines:
        for answer in answer_lines(model, lines, given.top_k, at_once=at_terminal, sentences=given.sentences):
            failed += "error" in answer and "line" in answer
            if given.format == "conll" and "error" not in answer:
                print(columns_of(answer))
            elif given.format == "conll":  # columns have no place for it
                print(f"line {answer['line']}: {answer['error']}", file=sys.stderr)
            else:
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
    if counts.without_blanks:
        print(f"{counts.without_blanks:,} of {counts.texts:,} texts have no blank; write it ____", file=sys.stderr)
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


def generate(given: Namespace) -> None:
    """Go on with a text, once or several times."""
    from rnntext.generating import LAST_TOKENS
    from rnntext.loading import load

    model = load(given.run)
    if model.model.leaks:
        print(
            f"this model is LEAKED: it learnt to read the next token off the text; the last {LAST_TOKENS} tokens are "
            "read anew at each step",
            file=sys.stderr,
        )
    for seed in range(given.seed, given.seed + given.samples):
        text = model.generate(given.prompt, given.length, temperature=given.temperature, top_k=given.top_k, seed=seed)
        if given.json:
            print(_json_line({"prompt": given.prompt, "text": text, "seed": seed}))
            continue
        if seed > given.seed:
            print()
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding))
    if unknown := model.counts.unknown_in_prompts:
        print(f"the vocabulary does not know these of the prompt, read as <unk>: {unknown}", file=sys.stderr)


def evaluate(given: Namespace) -> None:
    """Score a model on a labelled file."""
    from rnntext.loading import load
    from rnntext.metrics import split_by_type
    from rnntext.summary import scores_table

    model = load(given.run)
    counts = model.evaluate(given.file)
    notes = list(model.counts.notes)
    if model.counts.spans_misaligned:
        notes.append(f"spans that do not begin and end with a token: {model.counts.spans_misaligned:,}")
    if model.counts.without_question:
        notes.append(
            "texts that ask nothing (too short, no word to cut out, or a blank without an answer): "
            f"{model.counts.without_question:,}"
        )
    for note in notes:
        print(note, file=sys.stderr)
    if given.json:
        print(json.dumps(counts.scores()))
        return
    printed = console()
    printed.print(scores_table(counts.scores(), counts.texts, getattr(model.model.head, "units", None)))
    for field, groups in counts.groups().items():
        for value, scores in groups.items():
            together, _ = split_by_type(scores)
            shown = "  ".join(f"{name} {number:.4f}" for name, number in together.items() if name != "texts")
            printed.print(f"{field} = {value}: {scores['texts']:,} texts, {shown}", highlight=False)


def _reporter(quiet: bool) -> Reporter:
    from rnntext.progress import BarReporter, LineReporter

    if quiet:
        return LineReporter(lambda text: None)
    if sys.stderr.isatty():
        return BarReporter(console(stderr=True))
    return LineReporter(lambda text: print(text, file=sys.stderr, flush=True))
