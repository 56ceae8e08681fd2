"""Run benchmarks, print a table, and write ``benchmarks/results.json`` and ``benchmarks/RESULTS.md``.

    python -m benchmarks                     all of them
    python -m benchmarks encoders text       some; the others' rows stay as they are

To compare on your own texts, name JSON Lines files with ``text`` and ``label`` in the environment:
RNNTEXT_BENCH_TRAIN, and RNNTEXT_BENCH_TEST for accuracies; for taggers, name a CoNLL file with BIO tags:
RNNTEXT_BENCH_CONLL. RNNTEXT_BENCH_FLAIR, _SPACY and _FASTTEXT name the Python of an environment that has that
package.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import torch

from benchmarks.results import COLUMNS, Results, conditions, line

NAMES = {
    "start_up": "benchmarks.start_up",
    "encoders": "benchmarks.encoders",
    "training": "benchmarks.training",
    "text": "benchmarks.text",
    "peers": "benchmarks.peers.comparing",
    "tagging": "benchmarks.tagging",
    "words": "benchmarks.words",
    "tagging_peers": "benchmarks.peers.comparing_taggers",
}
FOLDER = Path(__file__).parent


def main(names: list[str], out: Path) -> None:
    """Run the named benchmarks, all if none is named; write both files into a folder."""
    torch.set_num_threads(1)
    results = Results(out / "results.json", out / "RESULTS.md", conditions())
    print(COLUMNS, flush=True)
    for name in names or NAMES:
        for ratio in importlib.import_module(NAMES[name]).benchmarks():
            results.add(name, ratio)
            print(line(ratio), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the two files (benchmarks)")
    given = parser.parse_args()
    # argparse's "choices" would refuse the empty list, which means all.
    for unknown in set(given.names) - set(NAMES):
        parser.error(f"no benchmark is called {unknown!r}; there are: {', '.join(NAMES)}")
    main(given.names, given.out)
