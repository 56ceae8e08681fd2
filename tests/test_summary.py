"""The tables at the end of a run: readable however many metrics there are."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from rnntext.seeds import _spread
from rnntext.summary import closing_table, group_tables, scores_table, seeds_table

COSTS = {"milliseconds_per_text": 0.125, "megabytes": 2.5}
NETWORK = "lstm (this run)"


def spans(base: float, types: str = "LOC MISC PER", unknown: bool = True) -> dict[str, float]:
    scores = {"span_f1": base, "span_precision": base + 0.01, "span_recall": base - 0.01, "span_macro_f1": base / 2}
    scores["token_accuracy"] = 0.97
    if unknown:
        scores["unknown_accuracy"] = 0.81
    for step, label in enumerate(types.split(), start=1):
        for measure in ("precision", "recall", "f1"):
            scores[f"span_{measure}_{label}"] = base + step / 1000
    return scores


def metrics_of(network: dict[str, float], baselines: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return as much of metrics.json as tables read, scored on validation."""
    return {
        "validation": {**network, "loss": 1.25},
        "test": None,
        "baselines": {name: {**scores, **COSTS, "train_seconds": 1.0} for name, scores in baselines.items()},
        "prediction": COSTS,
        "training": {"seconds": 12.0, "tokens_per_second": 15_000.0},
        "data": {"texts": {"validation": 1234}},
    }


TAGGER = metrics_of(spans(0.9), {"most_frequent": spans(0.4, "LOC MISC", unknown=False), "crfsuite": spans(0.8)})
CLASSIFIER = metrics_of(
    {"accuracy": 0.9, "macro_f1": 0.8, "micro_f1": 0.7, "ece": 0.1}, {"majority": {"accuracy": 0.5, "ece": 0.2}}
)


def printed(table: RenderableType, width: int = 80) -> dict[str, list[str]]:
    """Return the rows of what is printed, by their first cell; nothing may be cut off."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    shown = console.export_text()
    assert "…" not in shown
    rows = [line.split() for line in shown.splitlines() if line.split()]
    return {row[0]: row[1:] for row in rows}


def test_few_metrics_stand_beside_each_other() -> None:
    rows = printed(closing_table(CLASSIFIER, NETWORK))
    assert rows["method"] == ["accuracy", "macro_f1", "micro_f1", "ece", "ms/text", "MB"]
    assert rows["lstm"] == ["(this", "run)", "0.9000", "0.8000", "0.7000", "0.1000", "0.125", "2.50"]
    assert rows["majority"] == ["0.5000", "0.2000", "0.125", "2.50"]
    assert "by" not in rows


def test_many_metrics_stand_below_each_other_and_types_in_a_table_of_their_own() -> None:
    rows = printed(closing_table(TAGGER, NETWORK))
    assert rows["metric"] == [*NETWORK.split(), "most_frequent", "crfsuite"]
    assert rows["span_precision"] == ["0.9100", "0.4100", "0.8100"]
    assert rows["unknown_accuracy"] == ["0.8100", "0.8100"], "the most frequent tag met no unknown word"
    assert rows["ms/text"] == ["0.125"] * 3
    assert "loss" not in rows
    assert rows["by"] == ["type:", *NETWORK.split()]
    assert rows["type"] == ["precision", "recall", "F1", *["F1", "of", "most_frequent", "F1", "of", "crfsuite"]]
    assert rows["MISC"] == ["0.9020", "0.9020", "0.9020", "0.4020", "0.8020"]
    assert rows["PER"] == ["0.9030", "0.9030", "0.9030", "0.8030"]


def test_a_type_that_a_baseline_alone_predicts_has_a_row() -> None:
    rows = printed(closing_table(metrics_of(spans(0.9, "LOC"), {"crfsuite": spans(0.8, "LOC PER")}), NETWORK))
    assert rows["PER"] == ["0.8020"]


@pytest.mark.parametrize("width", [80, 120])
def test_a_series_of_taggers_fits(width: int) -> None:
    runs = [
        {name: value for name, value in metrics_of(spans(base), {"crfsuite": spans(0.8)}).items() if name != "data"}
        for base in (0.85, 0.95)
    ]
    rows = printed(seeds_table({"seeds": [1, 2], **_spread(runs)}, "lstm (these runs)"), width)
    assert rows["span_f1"] == ["0.9000", "±", "0.0707", "0.8000", "±", "0.0000"]
    assert rows["LOC"] == ["0.9010", "0.9010", "0.9010", "±", "0.0707", "0.8010", "±", "0.0000"]
    assert rows["training:"] == ["12.0", "seconds", "a", "seed,", "15,000", "tokens/s"]


def test_a_series_of_three_methods_fits_a_small_terminal() -> None:
    runs = [{name: value for name, value in TAGGER.items() if name != "data"}] * 2
    assert "span_recall" in printed(seeds_table({"seeds": [1, 2], **_spread(runs)}, "lstm (these runs)"))


def test_groups_are_compared_by_the_first_metric() -> None:
    metrics = {
        **TAGGER,
        "groups": {"genre": {"news": {"texts": 7, **spans(0.7)}}},
        "baseline_groups": {"crfsuite": {"genre": {"news": {"texts": 7, **spans(0.6)}}}},
    }
    (table,) = group_tables(metrics, NETWORK)
    assert printed(table)["news"] == ["7", "0.7000", "0.6000"]


def test_an_evaluation_shows_every_score() -> None:
    rows = printed(scores_table({**spans(0.9), "loss": 1.25}, 10))
    assert rows["span_recall"] == ["0.8900"]
    assert rows["loss"] == ["1.2500"]
    assert rows["LOC"] == ["0.9010"] * 3
    assert rows["by"] == ["type"]
    assert "by" not in printed(scores_table({"accuracy": 0.5}, 10))
