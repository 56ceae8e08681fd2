"""Anonymous memory while a large file of texts is read, trained on and predicted.

    python -m benchmarks.memory                  a file of 2 GB, made for it and deleted again
    python -m benchmarks.memory --gigabytes 0.2

What counts is anonymous memory, which only swapping could free; pages of memory-mapped files come and go with what
else the machine does. It is read from /proc, so this runs on Linux alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SENTENCES = 20_000
WORDS = 50_000
EVERY_SECONDS = 0.1
RECIPE = """
recipe_version = 1
name = "memory"

[dataset]
type = "jsonl"
train = "texts.jsonl"
validation_fraction = 0.01

[tokenizer]
type = "regex"

[batching]
batch_size = 64
max_tokens = 20

[embedding]
type = "learned"
output_dim = 50

[encoder]
type = "dense"
hidden_dim = 50

[training]
epochs = 1
threads = 1

[baselines]
max_rows = 20000
"""


def main(gigabytes: float, folder: Path | None) -> None:
    """Print the largest anonymous memory of ``rnntext run`` and ``rnntext predict`` on a file of that size."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        place = Path(made)
        texts = make_texts(place / "texts.jsonl", int(gigabytes * 1e9))
        size = (place / "texts.jsonl").stat().st_size / 1e9
        print(f"{texts:,} texts, {size:.2f} GB", flush=True)
        (place / "recipe.toml").write_text(RECIPE)
        for name, arguments in {
            "run": ["run", "recipe.toml", "--out", "model"],
            "predict": ["predict", "model", "texts.jsonl"],
        }.items():
            seconds, megabytes = watched(arguments, place)
            print(f"{name}: {megabytes:,.0f} MB of anonymous memory at most, {seconds:,.0f} s", flush=True)


def make_texts(path: Path, size: int) -> int:
    """Write labelled texts as long as film reviews until the file has ``size`` bytes; return their number."""
    draw = random.Random(0)
    words = ["".join(draw.choices("aeioubcdfglmnprst", k=draw.randint(2, 9))) for _ in range(WORDS)]
    sentences = [
        " ".join(words[min(WORDS - 1, int(draw.paretovariate(0.5)))] for _ in range(20)) for _ in range(SENTENCES)
    ]
    number = written = 0
    with open(path, "w", encoding="utf-8") as stream:
        while written < size:
            chosen = draw.choices(range(SENTENCES), k=12)
            text = ". ".join(sentences[each] for each in chosen)
            label = "even" if chosen[0] % 2 == 0 else "odd"
            written += stream.write(json.dumps({"text": text, "label": label}) + "\n")
            number += 1
    return number


def watched(arguments: list[str], place: Path) -> tuple[float, float]:
    """Run an ``rnntext`` command; return its seconds and its largest anonymous memory, in 10^6 bytes.

    Raises:
        RuntimeError: the command failed.
    """
    started, largest, told = time.perf_counter(), 0.0, 0.0
    environment = {**os.environ, "RNNTEXT_CACHE": str(place / "cache")}
    with open(place / "output", "w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from rnntext.cli import main; raise SystemExit(main())", *arguments],
            cwd=place,
            stdout=output,
            env=environment,
        )
        while process.poll() is None:
            largest = max(largest, anonymous_megabytes(process.pid))
            if largest > told + 100:
                told = largest
                print(f"  {time.perf_counter() - started:,.0f} s: {largest:,.0f} MB", flush=True)
            time.sleep(EVERY_SECONDS)
    if process.returncode:
        raise RuntimeError(f"rnntext {' '.join(arguments)} failed")
    return time.perf_counter() - started, largest


def anonymous_megabytes(process: int) -> float:
    """Return the anonymous memory of a process, in 10^6 bytes; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the file (2)")
    parser.add_argument("--folder", type=Path, help="where the file, the cache and the model are made")
    given = parser.parse_args()
    main(given.gigabytes, given.folder)
