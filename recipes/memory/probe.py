"""How far can each encoder carry a word? Trains them on the recall task, gap by gap, and measures their gradients.

    python recipes/memory/probe.py                                    what is missing in results.json, then the plots
    python recipes/memory/probe.py --encoders lstm gru --gaps 5 10    some of it
    python recipes/memory/probe.py --encoders min_gru --force         of one encoder, all of it anew

A text is a symbol and N noise tokens; N is the gap. Each training step draws fresh texts with one gap from 1 to N;
what counts is the accuracy at N itself. A finished (encoder, N, seed) is kept. Once no seed solved two gaps in a row,
longer ones are not run. README.md says what came of it.
"""

from __future__ import annotations

import argparse
import copy
import inspect
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import results
import torch
from gradients import explode, reach
from recall import NOISE, SYMBOLS, draw
from torch import Tensor, nn

from rnntext import registry

RESULTS = Path(__file__).parent / "results.json"
GAPS = (5, 10, 20, 50, 100, 200, 500)
SEEDS = (1, 2, 3)
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "dense": ("dense", {}),
    "rnn": ("rnn", {}),
    "lstm": ("lstm", {}),
    "lstm forget_bias=2": ("lstm", {"forget_bias": 2.0}),
    "peephole_lstm": ("peephole_lstm", {}),
    "coupled_lstm": ("coupled_lstm", {}),
    "gru": ("gru", {}),
    "min_gru": ("min_gru", {}),
}
STEPS, BATCH, EMBEDDING_DIM, HIDDEN_DIM, LEARNING_RATE, CLIP = 600, 32, 16, 32, 1e-2, 1.0
CHECK_EVERY, CHECK_TEXTS, TEST_TEXTS = 25, 200, 1000
LEARNT, SOLVED = 0.99, 0.9
GRADIENTS_AT = (50, 1)  # gap and seed of the networks whose gradients are measured, before and after training
EXPLODING_SCALE, EXPLODING_SEEDS = 4.0, (1, 2, 3)


class Recall(nn.Module):
    """Embedding, a one-way encoder, and a linear layer on its final state."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        super().__init__()
        part = registry.get("encoders", name)
        if "bidirectional" in inspect.signature(part).parameters:
            options = {**options, "bidirectional": False}
        self.embedding = nn.Embedding(len(SYMBOLS) + len(NOISE), EMBEDDING_DIM)
        self.encoder = part(input_dim=EMBEDDING_DIM, hidden_dim=HIDDEN_DIM, **options)
        self.head = nn.Linear(HIDDEN_DIM, len(SYMBOLS))

    def forward(self, token_ids: Tensor) -> Tensor:
        """Return float [B, 4], a score for each symbol, of int64 [B, T]."""
        lengths = torch.full((len(token_ids),), token_ids.shape[1])
        scores: Tensor = self.head(self.encoder(self.embedding(token_ids), lengths).final)
        return scores


@torch.no_grad()
def accuracy(model: nn.Module, gap: int, count: int, generator: torch.Generator) -> float:
    """Return the share of so many fresh texts whose first word the model names."""
    token_ids, first = draw(gap, count, generator)
    return float((model(token_ids).argmax(dim=1) == first).float().mean())


def train(model: nn.Module, gap: int, seed: int, steps: int = STEPS) -> int:
    """Train on gaps from 1 to ``gap``, keep the weights of the best check, and return the steps taken.

    Checks use texts of their own; training stops once one finds 99% right.
    """
    texts, checks = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(1000 + seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    best, weights = -1.0, model.state_dict()
    for step in range(1, steps + 1):
        token_ids, first = draw(int(torch.randint(1, gap + 1, (), generator=texts)), BATCH, texts)
        loss = nn.functional.cross_entropy(model(token_ids), first)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        if step % CHECK_EVERY == 0:
            right = accuracy(model, gap, CHECK_TEXTS, checks)
            if right > best:
                best, weights = right, copy.deepcopy(model.state_dict())
            if right >= LEARNT:
                break
    model.load_state_dict(weights)
    return step


def run_one(label: str, gap: int, seed: int) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Train and test one network; return its record and, where they are wanted, its gradients before and after."""
    torch.manual_seed(seed)
    model = Recall(*ENCODERS[label])
    wanted = (gap, seed) == GRADIENTS_AT
    start = reach(model.encoder, model.embedding) if wanted else None
    began = time.perf_counter()
    steps = train(model, gap, seed)
    seconds = time.perf_counter() - began
    right = accuracy(model, gap, TEST_TEXTS, torch.Generator().manual_seed(2000 + seed))
    record = {"encoder": label, "gap": gap, "seed": seed, "accuracy": right, "steps": steps}
    gradients = {"start": start, "trained": reach(model.encoder, model.embedding)} if wanted else None
    return {**record, "seconds": round(seconds, 1)}, gradients


def hopeless(runs: list[dict[str, Any]], label: str, gap: int) -> bool:
    """Return whether no seed solved either of the two gaps before this one (a gap not run counts as unsolved)."""
    before = [other for other in GAPS if other < gap][-2:]
    done = [[run["accuracy"] or 0.0 for run in runs if (run["encoder"], run["gap"]) == (label, g)] for g in before]
    return len(before) == 2 and all(accuracies and max(accuracies) < SOLVED for accuracies in done)


def exploding() -> dict[str, Any]:
    """Return loss and gradient norm of plain networks with large recurrent weights, clipped and not."""
    found = {
        name: [explode(clip, scale=EXPLODING_SCALE, seed=seed) for seed in EXPLODING_SEEDS]
        for name, clip in (("clipped", CLIP), ("unclipped", None))
    }
    torch.manual_seed(1)
    model = Recall("rnn", {})
    with torch.no_grad():
        for name, weight in model.encoder.named_parameters():
            if "weight_hh" in name:
                weight *= EXPLODING_SCALE
    return {"scale": EXPLODING_SCALE, "clip": CLIP, "start": reach(model.encoder, model.embedding), **found}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, write results after each network, then draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=[*ENCODERS], metavar="NAME")
    parser.add_argument("--gaps", nargs="+", type=int, choices=GAPS, default=GAPS, metavar="N")
    parser.add_argument("--force", action="store_true", help="run again what is finished")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where results are kept and plots drawn")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = results.load(given.results)
    runs: list[dict[str, Any]] = found["runs"]
    if given.force:
        runs[:] = [run for run in runs if run["encoder"] not in given.encoders or run["gap"] not in given.gaps]
        found["exploding"] = {}
    finished = {(run["encoder"], run["gap"], run["seed"]) for run in runs}
    for gap, label in itertools.product(sorted(given.gaps), given.encoders):
        skip = hopeless(runs, label, gap)
        for seed in [seed for seed in SEEDS if (label, gap, seed) not in finished]:
            record: dict[str, Any] = {"encoder": label, "gap": gap, "seed": seed, "accuracy": None}
            if not skip:
                record, gradients = run_one(label, gap, seed)
                if gradients:
                    found["gradients"][label] = gradients
            runs.append(record)
            runs.sort(key=lambda run: ([*ENCODERS].index(run["encoder"]), run["gap"], run["seed"]))
            results.save(found, given.results)
            print(f"{label}, gap {gap}, seed {seed}: {told(record)}", flush=True)
    found["exploding"] = found["exploding"] or exploding()
    results.save(found, given.results)
    try:
        import plots
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        print("No plots: they need matplotlib (pip install 'rnntext[plots]').")
    else:
        plots.draw_all(found, given.results.parent)


def told(record: dict[str, Any]) -> str:
    """Return a run's outcome in words."""
    if record["accuracy"] is None:
        return "not run, since both gaps before were out of reach"
    return f"accuracy {record['accuracy']:.3f} after {record['steps']} steps, {record['seconds']} s"


if __name__ == "__main__":
    main()
