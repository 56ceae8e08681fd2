"""Draws what ``probe.py`` has measured: memory.svg, gradients.svg and exploding.svg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, log10
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib as mpl
from recall import CHANCE

mpl.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

LARGE = "rnn, large weights"
# Okabe and Ito's colours, which colour-blind readers can tell apart, each with a marker of its own.
STYLES: dict[str, dict[str, Any]] = {
    "dense": {"color": "#777777", "marker": "x"},
    "rnn": {"color": "#D55E00", "marker": "o"},
    "lstm": {"color": "#0072B2", "marker": "s"},
    "lstm forget_bias=2": {"color": "#56B4E9", "marker": "D"},
    "peephole_lstm": {"color": "#CC79A7", "marker": "P"},
    "coupled_lstm": {"color": "#009E73", "marker": "^"},
    "gru": {"color": "#E69F00", "marker": "v"},
    "min_gru": {"color": "#000000", "marker": "*"},
    LARGE: {"color": "#D55E00", "marker": "o", "linestyle": "--"},
}
CLIPPED, UNCLIPPED = "#0072B2", "#D55E00"
FAINTEST = 1e-12  # the lower end of the gradient axis
LOOK: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "svg.hashsalt": "rnntext",  # the same file from the same results
    "svg.fonttype": "path",
}


def draw_all(found: Mapping[str, Any], folder: Path) -> None:
    """Write every plot whose results are there into a folder."""
    with mpl.rc_context(LOOK):
        if found["runs"]:
            draw_memory(found["runs"], folder / "memory.svg")
        if found["gradients"]:
            draw_gradients(found["gradients"], found["exploding"], folder / "gradients.svg")
        if found["exploding"]:
            draw_exploding(found["exploding"], folder / "exploding.svg")


def draw_memory(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the accuracy of each encoder against the gap: mean of the seeds, each seed a small dot."""
    gaps = sorted({run["gap"] for run in runs})
    figure, axes = plt.subplots(figsize=(9, 4.8), layout="constrained")
    axes.axhline(CHANCE, color="#777777", linewidth=1, linestyle="--")
    axes.text(-0.15, CHANCE + 0.012, "chance", va="bottom", color="#555555")
    ends = {}
    for number, label in enumerate(STYLES):
        found = [[run["accuracy"] for run in runs if (run["encoder"], run["gap"]) == (label, gap)] for gap in gaps]
        measured = [place for place, values in enumerate(found) if values and None not in values]
        if not measured:
            continue
        means = [mean(found[place]) for place in measured]
        style, shift = STYLES[label], 0.035 * (number - 3.5)  # sideways, so that equal points stay apart
        axes.plot([place + shift for place in measured], means, linewidth=1.8, markersize=6, **style)
        for place in measured:
            axes.plot([place + shift] * len(found[place]), found[place], ".", color=style["color"], markersize=3)
        ends[label] = (measured[-1] + shift, means[-1])
        if any(None in values for values in found):  # what is not run any more would be chance
            ends[label] = (len(gaps) - 1 + shift, CHANCE)
            axes.plot(*zip((measured[-1] + shift, means[-1]), ends[label], strict=True), ":", color=style["color"])
    label_ends(axes, len(gaps) - 0.6, ends, least=0.052)
    axes.set_xticks(range(len(gaps)), [str(gap) for gap in gaps])
    axes.set(ylim=(0, 1.05), xlabel="noise tokens after the word (dotted: not run)", ylabel="accuracy")
    axes.set_title("Which word did the text begin with?", weight="bold")
    save(figure, path)


def draw_gradients(gradients: Mapping[str, Any], exploding: Mapping[str, Any], path: Path) -> None:
    """Draw how a gradient fades or grows with distance, before and after training."""
    figure, panels = plt.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
    titles = ("At a random start", "Trained on gaps of up to 50")
    for axes, when, title in zip(panels, ("start", "trained"), titles, strict=True):
        curves = {label: found[when] for label, found in gradients.items()}
        if when == "start" and exploding:
            curves[LARGE] = exploding["start"]
        ends = {}
        for label, points in curves.items():
            shown = [(distance, norm) for distance, norm in points if norm >= FAINTEST]
            axes.semilogy(*zip(*shown, strict=True), linewidth=1.8, markersize=5, label=label, **STYLES[label])
            ends[label] = shown[-1]
        axes.axhline(1, color="#777777", linewidth=1, linestyle="--")
        axes.set(ylim=(FAINTEST, 1 / FAINTEST), xlim=(0, 205), xlabel="noise tokens after the word")
        axes.set_title(title, weight="bold")
        early = {label: end for label, end in ends.items() if end[0] < 150}
        late = {label: end for label, end in ends.items() if label not in early}
        label_ends(axes, 80 if when == "start" else 30, early, least=1.15)
        if when == "trained":
            label_ends(axes, 215, late, least=1.15)
            continue
        for label in late:
            place, norm = curves[label][-4]  # some way before the end, on the side where there is no curve
            side = "right" if norm > 1 else "left"
            axes.annotate(label, (place, norm), (0, 8), textcoords="offset points", ha=side, color="#222222")
    panels[0].set_ylabel("norm of d final state / d word")
    save(figure, path)


def draw_exploding(exploding: Mapping[str, Any], path: Path) -> None:
    """Draw gradient norm and loss of a plain network with too large weights, clipped and not; one seed stands out."""
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name, color in (("unclipped", UNCLIPPED), ("clipped", CLIPPED)):
        for axes, what in zip(panels, ("norm", "loss"), strict=True):
            for number, run in reversed([*enumerate(exploding[name])]):
                look = {"linewidth": 1.6} if number == 0 else {"linewidth": 0.8, "alpha": 0.35}
                axes.plot(run[what], color=color, label=name if number == 0 else None, **look)
    panels[0].set_yscale("log")
    panels[0].axhline(exploding["clip"], color="#333333", linewidth=1, linestyle="--")
    panels[0].set_title("Norm of the gradient of all weights", weight="bold")
    panels[0].text(1.01, exploding["clip"], "clip", transform=panels[0].get_yaxis_transform(), va="center")
    panels[1].axhline(log(1 / CHANCE), color="#333333", linewidth=1, linestyle="--")
    panels[1].text(1.01, log(1 / CHANCE), "chance", transform=panels[1].get_yaxis_transform(), va="center")
    panels[1].set_title("Loss", weight="bold")
    for axes in panels:
        axes.set_xlabel("training step")
        axes.set_xlim(-4, len(exploding["clipped"][0]["loss"]))
    panels[1].legend(frameon=False, loc=(0.65, 0.5))
    save(figure, path)


def label_ends(axes: Axes, place: float, ends: Mapping[str, tuple[float, float]], least: float) -> None:
    """Write each name at ``place``, at least so far above the next, with a thin line to where its curve ends.

    On an axis of powers of ten ``least`` counts these.
    """
    powers = axes.get_yscale() == "log"
    heights = {label: log10(end[1]) if powers else end[1] for label, end in ends.items()}
    bottom = axes.get_ylim()[0]
    floor = (log10(bottom) if powers else bottom) + least / 2
    for label, height in spread(heights, least, floor).items():
        style = STYLES[label]
        axes.annotate(
            label,
            ends[label],
            (place, 10**height if powers else height),
            va="center",
            color="#222222",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": style["color"], "linewidth": 1, "shrinkA": 2, "shrinkB": 5},
        )


def spread(heights: Mapping[str, float], least: float, floor: float) -> dict[str, float]:
    """Return heights that differ by ``least`` or more, none below ``floor``, in the same order, near those given."""
    order = sorted(heights, key=lambda name: heights[name])
    placed = [heights[name] for name in order]
    for _ in range(200):
        for below in range(len(placed) - 1):
            short = max(0.0, least - (placed[below + 1] - placed[below]))
            placed[below] -= short / 2
            placed[below + 1] += short / 2
        placed = [max(height, floor + rank * least) for rank, height in enumerate(placed)]
    return dict(zip(order, placed, strict=True))


def save(figure: Figure, path: Path) -> None:
    """Write a figure without the date, so that equal results give equal files."""
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
