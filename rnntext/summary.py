"""Scores as tables: the network beside what simple methods reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table

from rnntext.evaluation import LEAKED, LEAKS
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
    methods = _methods(metrics, split, network)
    scores = _score_cells(metrics, methods, _score)
    costs = [metrics["prediction"], *metrics["baselines"].values()]
    cells = {
        method: {**scores[method], "ms/text": f"{cost[COSTS[0]]:.3f}", "MB": f"{cost[COSTS[1]]:.2f}"}
        for method, cost in zip(methods, costs, strict=True)
    }
    title = f"{split}, {metrics['data']['texts'][split]:,} texts{_warning(metrics)}"
    table = _methods_table(title, cells, list(scores[next(iter(methods))]), metrics.get("units", {}))
    return _with_types(table, methods, _score)


def _methods(document: Mapping[str, Any], split: str, network: str) -> dict[str, Mapping[str, Any]]:
    """Return method -> metric -> value, the network first.

    If it reads what it should tell, its metrics have the names of the others', and the mark stands in its own name.
    """
    own = {name.removeprefix(LEAKED): value for name, value in document[split].items()}
    return {f"{_mark(document).upper()}{network}": own, **document["baselines"]}


def _mark(document: Mapping[str, Any]) -> str:
    """Return what stands before each figure of the network."""
    return "leaked " if document.get("leaked") else ""


def _warning(document: Mapping[str, Any]) -> str:
    what = " and ".join(LEAKS[leak] for leak in document.get("leaked", []))
    return f" (LEAKED: the encoder reads {what})" if what else ""


def _score_cells(
    document: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]], shown: Callable[[Any], str]
) -> dict[str, dict[str, str]]:
    """Return method -> metric -> what is written, for the network's metrics: of all types together."""
    network = next(iter(methods))
    columns = [name for name in split_by_type(methods[network])[0] if name != "loss"]
    marks = {network: _mark(document)}
    return {
        method: {name: marks.get(method, "") + shown(scores[name]) if name in scores else "" for name in columns}
        for method, scores in methods.items()
    }


def _methods_table(
    title: str, cells: Mapping[str, Mapping[str, str]], metrics: Sequence[str], units: Mapping[str, str]
) -> Table:
    """Return method -> heading -> cell as a table: a method a row; with many metrics upright, a method a column."""
    first, *others = cells.values()
    upright = len(metrics) > MOST_COLUMNS
    table = Table(title=title, box=SIMPLE, title_justify="left", caption_justify="left")
    table.caption = _units(units, metrics)
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


def _units(units: Mapping[str, str], metrics: Iterable[str]) -> str | None:
    """Return a line that says what metrics are counted in or per; None if there is nothing to say."""
    said = [
        f"{name}{' ' if unit.startswith('per ') else ': '}{unit}" for name, unit in units.items() if name in metrics
    ]
    return "; ".join(said) or None


def group_tables(metrics: Mapping[str, Any], network: str) -> Iterable[Table]:
    """Return a table for each group field: how many texts have each value, and each method's first metric."""
    for field, groups in metrics["groups"].items():
        metric = next(name for name in next(iter(groups.values())) if name != "texts")
        plain, mark = metric.removeprefix(LEAKED), _mark(metrics)
        others = metrics["baseline_groups"]
        table = Table(title=f"{plain} by {field}", box=SIMPLE, title_justify="left")
        table.add_column(field)
        table.add_column("texts", justify="right")
        for method in [f"{mark.upper()}{network}", *others]:
            table.add_column(method, justify="right", no_wrap=True)
        for value, scores in groups.items():
            cells = [_score(others[method][field].get(value, {}).get(plain)) for method in others]
            table.add_row(value or "(empty)", f"{scores['texts']:,}", mark + _score(scores[metric]), *cells)
        yield table


def seeds_table(summary: Mapping[str, Any], network: str) -> RenderableType:
    """Return the tables that end a series of runs: each metric's mean, with its spread over the seeds.

    Args:
        summary: what seeds.json holds.
        network: what to call the network.
    """
    split = "validation" if summary["test"] is None else "test"
    methods = _methods(summary, split, network)
    seeds = ", ".join(map(str, summary["seeds"]))
    title = f"{split}, seeds {seeds}: mean ± standard deviation (least to largest){_warning(summary)}"
    cells = _score_cells(summary, methods, _with_spread)
    table = _methods_table(title, cells, list(cells[next(iter(methods))]), summary.get("units", {}))
    seconds, speed = summary["training"]["seconds"], summary["training"]["tokens_per_second"]
    training = f"training: {seconds['mean']:,.1f} seconds a seed, {speed['mean']:,.0f} tokens/s"
    table.caption = f"{table.caption}\n{training}" if table.caption else training
    return _with_types(table, methods, _with_deviation, lambda values: _score(values and values["mean"]))


def _with_spread(values: Mapping[str, float] | None) -> str:
    return f"{_with_deviation(values)}\n({values['least']:.4f} to {values['largest']:.4f})" if values else ""


def _with_deviation(values: Mapping[str, float] | None) -> str:
    return f"{values['mean']:.4f} ± {values['deviation']:.4f}" if values else ""


def scores_table(scores: Mapping[str, float], texts: int, units: Mapping[str, str] | None = None) -> RenderableType:
    """Return the scores of one evaluation; ``units`` says what metrics are counted in or per."""
    leaked = ", LEAKED" if any(name.startswith(LEAKED) for name in scores) else ""
    table = Table(title=f"{texts:,} texts{leaked}", box=SIMPLE, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    if units:
        table.add_column("unit")
    for name, value in split_by_type(scores)[0].items():
        unit = [units.get(name.removeprefix(LEAKED), "")] if units else []
        table.add_row(name, _score(value), *unit)
    return _with_types(table, {"": scores}, _score)


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
