"""Scores as tables: the network beside what simple methods reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table

from rnntext.metrics import split_by_type

COSTS = ("milliseconds_per_text", "megabytes")
MOST_COLUMNS = 4
"""Metrics that fit beside each other; more stand below each other, the methods in columns."""


def closing_table(metrics: Mapping[str, Any], network: str) -> RenderableType:
    """Return the tables that end a run: each method's scores and costs on the closing split, and scores by type.

    Args:
        metrics: what metrics.json holds.
        network: what to call the network.
    """
    split = "validation" if metrics["test"] is None else "test"
    methods = {network: {**metrics[split], **metrics["prediction"]}, **metrics["baselines"]}
    columns = _columns(metrics[split])
    cells = {
        method: {
            **{name: _score(values.get(name)) for name in columns},
            "ms/text": f"{values[COSTS[0]]:.3f}",
            "MB": f"{values[COSTS[1]]:.2f}",
        }
        for method, values in methods.items()
    }
    table = _methods_table(f"{split}, {metrics['data']['texts'][split]:,} texts", cells, len(columns) > MOST_COLUMNS)
    return _with_types(table, methods, _score)


def _columns(scores: Mapping[str, Any]) -> list[str]:
    """Return the metrics that a table compares: of all types together."""
    return [name for name in split_by_type(scores)[0] if name != "loss"]


def _methods_table(title: str, cells: Mapping[str, Mapping[str, str]], upright: bool) -> Table:
    """Return method -> heading -> cell as a table: a method a row; or upright, a method a column."""
    first, *others = cells.values()
    table = Table(title=title, box=SIMPLE, title_justify="left")
    table.add_column("metric" if upright else "method", overflow="fold")
    for heading in cells if upright else first:
        table.add_column(heading, justify="right", no_wrap=True)
    if upright:
        for heading, cell in first.items():
            table.add_row(heading, cell, *(other[heading] for other in others))
    else:
        for method, values in cells.items():
            table.add_row(method, *values.values())
    return table


def _with_types(
    table: Table, methods: Mapping[str, Mapping[str, Any]], shown: Callable[[Any], str], brief: Any = None
) -> RenderableType:
    """Return a table, and below it, where there are scores by type, those of the first method beside the others' F1.

    Args:
        table: of scores of all types together.
        methods: method -> metric -> value.
        shown: writes a value.
        brief: writes precision and recall, if otherwise.
    """
    first, *others = (split_by_type(scores)[1] for scores in methods.values())
    names = dict.fromkeys(name for types in (first, *others) for name in types)
    if not names:
        return table
    network, *baselines = methods
    by_type = Table(title=f"by type: {network}" if network else "by type", box=SIMPLE, title_justify="left")
    by_type.add_column("type")
    headings = ["precision", "recall", "F1", *(f"F1 of {method}" for method in baselines)]
    for heading in headings:
        by_type.add_column(heading, justify="right")
    for name in names:
        scores = first.get(name, {})
        cells = [(brief or shown)(scores.get(measure)) for measure in ("precision", "recall")]
        cells += [shown(types.get(name, {}).get("f1")) for types in (first, *others)]
        by_type.add_row(name, *cells)
    return Group(table, *([""] if table.caption else []), by_type)


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


def seeds_table(summary: Mapping[str, Any], network: str) -> RenderableType:
    """Return the tables that end a series of runs: each metric's mean, with its spread over the seeds.

    Args:
        summary: what seeds.json holds.
        network: what to call the network.
    """
    split = "validation" if summary["test"] is None else "test"
    columns = _columns(summary[split])
    methods = {network: summary[split], **summary["baselines"]}
    seeds = ", ".join(map(str, summary["seeds"]))
    table = _methods_table(
        f"{split}, seeds {seeds}: mean ± standard deviation (least to largest)",
        {method: {name: _with_spread(scores.get(name)) for name in columns} for method, scores in methods.items()},
        len(columns) > MOST_COLUMNS,
    )
    seconds, speed = summary["training"]["seconds"], summary["training"]["tokens_per_second"]
    table.caption = f"training: {seconds['mean']:,.1f} seconds a seed, {speed['mean']:,.0f} tokens/s"
    table.caption_justify = "left"
    return _with_types(table, methods, _with_deviation, lambda values: _score(values and values["mean"]))


def _with_spread(values: Mapping[str, float] | None) -> str:
    return f"{_with_deviation(values)}\n({values['least']:.4f} to {values['largest']:.4f})" if values else ""


def _with_deviation(values: Mapping[str, float] | None) -> str:
    return f"{values['mean']:.4f} ± {values['deviation']:.4f}" if values else ""


def scores_table(scores: Mapping[str, float], texts: int) -> RenderableType:
    """Return the scores of one evaluation."""
    table = Table(title=f"{texts:,} texts", box=SIMPLE, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in split_by_type(scores)[0].items():
        table.add_row(name, _score(value))
    return _with_types(table, {"": scores}, _score)


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
