"""Every built-in part passes the checks that a plugin's parts are put through."""

from __future__ import annotations

from typing import Any

from rnntext.testing import conformance


def every_check(kind: str, name: str, **given: Any) -> Any:
    return conformance(kind, name, options=given)


@conformance("tokenizers", "regex")
def test_regex(check):
    check()


@conformance("tokenizers", "spacy")
def test_spacy(check):
    check()


@conformance("encoders", "lstm", options={"hidden_dim": 5})
def test_lstm(check):
    check()


@conformance("encoders", "gru", options={"hidden_dim": 5, "num_layers": 2, "bidirectional": False, "chunk_tokens": 3})
def test_gru(check):
    check()


@conformance("encoders", "dense", options={"hidden_dim": 5})
def test_dense(check):
    check()
