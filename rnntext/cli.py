"""The ``rnntext`` command. Results go to standard output, all else to standard error.

Exit status: 0 fine, 1 the work failed, 2 usage or recipe error, 130 interrupted. Nothing here imports torch
before a command needs it.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from rnntext import __version__, checking, commands
from rnntext.contracts import KINDS
from rnntext.errors import RnntextError


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
        return commands.INTERRUPTED
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
    group = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, work: Callable[[argparse.Namespace], int | None], purpose: str) -> argparse.ArgumentParser:
        added = group.add_parser(name, help=purpose, description=purpose, parents=[common])
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

    run = command("run", commands.run, "train what a recipe describes and leave a model folder")
    takes_recipe(run)
    run.add_argument("--out", metavar="DIR", help="the run folder (default: runs/<name>-<number>)")
    run.add_argument("--force", action="store_true", help="replace a run that DIR holds already")
    run.add_argument("--seeds", type=_positive, metavar="N", help="train N seeds; report mean and spread")
    run.add_argument("-q", "--quiet", action="store_true", help="print the run folder alone")
    takes_recipe(command("check", commands.check, "say whether a recipe is valid, with every problem; read no data"))
    takes_recipe(command("show", commands.show, "print every value of a recipe with its origin"))
    describe = command(
        "describe", commands.describe, "print each stage with shapes, parameters and memory; count texts and tokens"
    )
    takes_recipe(describe)
    describe.add_argument(
        "--zipf", metavar="FILE", help="draw count against rank of the tokens (.svg, .png, .pdf; needs matplotlib)"
    )
    command("schema", commands.schema, "print the JSON Schema of recipes")
    command("recipes", commands.recipes, "list the recipes that come with rnntext and with packages")
    copy = command("copy", commands.copy, "copy one of these recipes, with its data, into this folder")
    copy.add_argument("name", metavar="NAME")
    listing = command("list", commands.list_parts, "list all parts; with a kind, also their options")
    listing.add_argument("kind", metavar="KIND", nargs="?", help=", ".join(KINDS))
    new_plugin = command("new-plugin", commands.new_plugin, "make a package with a part of your own")
    new_plugin.add_argument("name", metavar="NAME", help="of the package; rnntext-mine gives the part mine")
    new_plugin.add_argument("--kind", metavar="KIND", required=True, help=", ".join(KINDS))
    new_plugin.add_argument("--out", metavar="DIR", help="the package's folder (default: NAME)")
    plugin = command(
        "check-plugin",
        checking.check_plugin,
        "put a part, or all parts of a package, through the checks of its contract",
    )
    plugin.add_argument("name", metavar="NAME", help="a part (qrnn, rnntext-qrnn/qrnn) or a package (rnntext-qrnn)")
    plugin.add_argument("--kind", choices=KINDS, help="of the part, where several kinds have one of that name")
    plugin.add_argument(
        "--set",
        dest="settings",
        metavar="table.key=VALUE",
        action="append",
        default=[],
        help="an option of the part, such as dataset.train=FILE; may be repeated",
    )
    plugin.add_argument(
        "--recipe",
        dest="recipes",
        metavar="RECIPE",
        action="append",
        default=[],
        help="options of a part, and texts for it, come from the first recipe that uses it; may be repeated",
    )
    predict = command("predict", commands.predict, "answer texts: one JSON object a line, in order")
    predict.add_argument("run", metavar="RUN", help="a run folder")
    predict.add_argument("file", metavar="FILE", nargs="?", default="-", help="texts, one a line (-: standard input)")
    predict.add_argument("--text", action="append", help="a text; may be repeated")
    predict.add_argument(
        "--top-k",
        type=_positive,
        metavar="K",
        help="the K most probable labels, words of a blank or next tokens alone; of tags, K sequences as well",
    )
    predict.add_argument("--sentences", action="store_true", help="tag each sentence of a text on its own")
    predict.add_argument(
        "--format",
        choices=commands.FORMATS,
        default=commands.FORMATS[0],
        help="json: one object a line; conll: a line a token with its tag, a blank line after each text",
    )
    evaluate = command("evaluate", commands.evaluate, "score a model on a labelled file")
    evaluate.add_argument("run", metavar="RUN", help="a run folder")
    evaluate.add_argument("file", metavar="FILE", help="labelled data of the recipe's dataset type")
    evaluate.add_argument("--json", action="store_true", help="print one flat object of metrics")
    generate = command("generate", commands.generate, "go on with a text, by a model that tells the next token")
    generate.add_argument("run", metavar="RUN", help="a run folder")
    generate.add_argument("--prompt", metavar="TEXT", required=True, help="the text to begin with")
    generate.add_argument("--length", type=_positive, metavar="N", required=True, help="tokens to add")
    generate.add_argument(
        "--temperature",
        type=_temperature,
        metavar="T",
        default=1.0,
        help="below 1 the probable becomes more probable, above 1 less; 0 takes the most probable (default: 1)",
    )
    generate.add_argument("--top-k", type=_positive, metavar="K", help="draw from the K most probable tokens alone")
    generate.add_argument(
        "--seed", type=_seed, metavar="S", default=1, help="the same gives the same text (default: 1)"
    )
    generate.add_argument(
        "--samples", type=_positive, metavar="M", default=1, help="so many texts, with seeds S, S + 1, ..."
    )
    generate.add_argument("--json", action="store_true", help="print an object a line: prompt, text, seed")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)


def _temperature(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 up")
    return number
