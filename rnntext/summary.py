"""Scores as tables: the network beside what simple methods reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

COSTS = ("milliseconds_per_text", "megabytes")


def closing_table(metrics: Mapping[str, Any], network: str) -> Table:
    """Return the table that ends a run: each method's scores and costs on the closing split.

    Args:
        metrics: what metrics.json holds.
        network: what to call the network.
    """
    split = "validation" if metrics["test"] is None else "test"
    scores = {network: {**metrics[split], **metrics["prediction"]}, **metrics["baselines"]}
    columns = [name for name in metrics[split] if name != "loss"]
    texts = metrics["data"]["texts"][split]
    table = Table(title=f"{split}, {texts:,} texts", box=SIMPLE, title_justify="left")
    table.add_column("method")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ms/text", justify="right", no_wrap=True)
    table.add_column("MB", justify="right", no_wrap=True)
    for method, values in scores.items():
        cells = [_score(values.get(name)) for name in columns]
        table.add_row(method, *cells, f"{values[COSTS[0]]:.3f}", f"{values[COSTS[1]]:.2f}")
    return table


def group_tables(metrics: Mapping[str, Any], network: str) -> Iterable[Table]:
    """Return a table for each group field: how many texts have each value, and each method's first metric."""
    for field, groups in metrics["groups"].items():
        metric = next(name for name in next(iter(groups.values())) if name != "texts")
        others = metrics["baseline_groups"]
        table = Table(title=f"{metric} by {field}", box=SIMPLE, title_justify="left")
        table.add_column(field)
        table.add_column("texts", justify="right")
        for method in [network, *others]:
            table.add_column(method, justify="right", no_wrap=True)
        for value, scores in groups.items():
            cells = [_score(others[method][field].get(value, {}).get(metric)) for method in others]
            table.add_row(value or "(empty)", f"{scores['texts']:,}", _score(scores[metric]), *cells)
        yield table


def seeds_table(summary: Mapping[str, Any], network: str) -> Table:
    """Return the table that ends a series of runs: each metric's mean, with its spread over the seeds.

    Args:
        summary: what seeds.json holds.
        network: what to call the network.
    """
    split = "validation" if summary["test"] is None else "test"
    columns = [name for name in summary[split] if name != "loss"]
    seeds = summary["seeds"]
    table = Table(
        title=f"{split}, seeds {', '.join(map(str, seeds))}: mean ± standard deviation (least to largest)",
        box=SIMPLE,
        title_justify="left",
    )
    table.add_column("method")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for method, scores in {network: summary[split], **summary["baselines"]}.items():
        table.add_row(method, *(_with_spread(scores.get(name)) for name in columns))
    seconds, speed = summary["training"]["seconds"], summary["training"]["tokens_per_second"]
    table.caption = f"training: {seconds['mean']:,.1f} seconds a seed, {speed['mean']:,.0f} tokens/s"
    table.caption_justify = "left"
    return table


def _with_spread(values: Mapping[str, float] | None) -> str:
    if values is None:
        return ""
    return f"{values['mean']:.4f} ± {values['deviation']:.4f}\n({values['least']:.4f} to {values['largest']:.4f})"


def scores_table(scores: Mapping[str, float], texts: int) -> Table:
    """Return the scores of one evaluation."""
    table = Table(title=f"{texts:,} texts", box=SIMPLE, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in scores.items():
        table.add_row(name, _score(value))
    return table


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
