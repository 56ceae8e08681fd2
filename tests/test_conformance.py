"""Every built-in part passes the checks that the parts of plugins are put through."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rnntext.contracts import KINDS, Example
from rnntext.registry import BUILT_INS
from rnntext.testing import DoesNotApplyError, Nonconforming, Subject, checks_of
from rnntext.testing.tiny import LABELLED, SEVERAL_LABELS, SPANS, TAGGED, TEXTS

SMALL = {"hidden_dim": 5}
ONE_WAY = {**SMALL, "bidirectional": False}
DEEP = {**SMALL, "num_layers": 2}
APART = {**DEEP, "interleaved": False}
PARTS: dict[str, list[tuple[str, dict[str, Any], Sequence[Example]]]] = {
    "tokenizers": [
        ("character", {}, ()),
        *(("nltk", {"variant": variant}, ()) for variant in ("treebank", "wordpunct", "tweet", "toktok")),
        ("regex", {}, ()),
        ("spacy", {}, ()),
        ("spacy", {"language": "es"}, ()),
        ("whitespace", {}, LABELLED),
    ],
    "vocabularies": [
        ("frequency", {}, ()),
        ("frequency", {"lowercase": False, "unicode_form": "NFKC", "max_size": 9}, ()),
        ("word_list", {"path": "words.txt"}, ()),
    ],
    "embeddings": [
        ("char_cnn", {"widths": [2, 3]}, ()),
        ("char_lstm", {}, ()),
        ("learned", {"word_dropout": 0.2, "rare_word_dropout": 0.25, "dropout": 0.2, "label_start": 1.0}, ()),
        ("learned", {"trainable": False}, ()),
        ("one_hot", {}, ()),
        ("pretrained", {"path": "vectors.txt"}, ()),
        ("word_shape", {"affixes": [2]}, TAGGED),
    ],
    "encoders": [
        *(
            (name, chosen, ())
            for name in ("coupled_lstm", "gru", "lstm", "min_gru", "peephole_lstm", "rnn")
            for chosen in (DEEP, {**ONE_WAY, "shortcut": True, "chunk_tokens": 3})
        ),
        ("lstm", {**SMALL, "proj_dim": 3, "zoneout": 0.1}, TAGGED),
        ("lstm", {**APART, "layer_norm": True, "weight_drop": 0.2}, ()),
        ("min_gru", {**APART, "residual": True}, ()),
        ("gru", {**APART, "chunk_tokens": 2, "residual": True, "variational_dropout": 0.2}, ()),
        ("dense", {**DEEP, "shortcut": True}, ()),
    ],
    "heads": [
        ("classification", {"pooling": ["max", "attention"]}, ()),
        ("classification", {"word_ngrams": 2, "ngram_buckets": 64}, SEVERAL_LABELS),
        ("fill_blank", {}, ()),
        ("next_token", {}, ()),
        ("next_token", {"carry_state": True, "tied": False}, ()),
        ("tagging", {}, ()),
        ("tagging", {"crf": True, "scheme": "bioes"}, SPANS),
    ],
    "datasets": [
        ("conll", {"train": "spans.conll"}, ()),
        ("conllu", {"train": "tagged.conllu"}, ()),
        ("csv", {"train": "labelled.csv"}, ()),
        ("huggingface", {"train": "labelled.jsonl"}, ()),
        ("jsonl", {"train": "labelled.jsonl", "test": "test.jsonl"}, ()),
        ("text", {"train": "plain.txt"}, ()),
        ("text", {"train": "plain.txt", "num_steps": 5, "sampling": "sequential"}, ()),
    ],
}
AS_A_WHOLE = "the library converts a file as a whole, on disk, and names no line of a fault"
NOT_DONE = {
    ("huggingface", "reads_lazily"): AS_A_WHOLE,
    ("huggingface", "bytes_that_are_no_text"): AS_A_WHOLE,
}
"""(part, check) -> why the part does not pass it."""
CASES = [
    pytest.param(
        kind,
        name,
        chosen,
        examples,
        check,
        id=f"{name}-{number}-{check.name}",
        marks=[pytest.mark.xfail(strict=True, raises=Nonconforming, reason=why)]
        if (why := NOT_DONE.get((name, check.name)))
        else [],
    )
    for kind, parts in PARTS.items()
    for number, (name, chosen, examples) in enumerate(parts)
    for check in checks_of(kind)
]


@pytest.fixture(scope="module", autouse=True)
def _files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The files that options name, in the current folder."""
    folder = tmp_path_factory.mktemp("files")
    rows = [{"text": example.text, "label": example.label} for example in LABELLED]

    def write(name: str, text: str) -> None:
        Path(folder / name).write_text(text, encoding="utf-8")

    write(
        "words.txt",
        "".join(f"{word}\n" for word in sorted({word.lower() for text in TEXTS for word in text.split()})),
    )
    write("vectors.txt", "soup 0.5 -1 2\nlamp 1 0.25 -1\ntent -2 1 0.5\nwonder 1 1 -1\n")
    write("labelled.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write("test.jsonl", json.dumps(rows[0]) + "\n")
    write("labelled.csv", "text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in rows))
    write("plain.txt", "".join(f"{text}\n" for text in TEXTS))
    write("spans.conll", "\n".join("".join(f"{t} {g}\n" for t, g in pairs(example)) for example in SPANS))
    rest = "\t_" * 6
    sentences = (
        "".join(f"{number}\t{token}\t_\t{tag}{rest}\n" for number, (token, tag) in enumerate(pairs(one), 1))
        for one in TAGGED
    )
    write("tagged.conllu", "".join(f"{sentence}\n" for sentence in sentences))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


def pairs(example: Example) -> list[tuple[str, str]]:
    return list(zip(example.tokens or (), example.label or (), strict=True))


@pytest.mark.parametrize(("kind", "name", "chosen", "examples", "check"), CASES)
def test_a_built_in_does_what_the_contract_asks(kind, name, chosen, examples, check) -> None:
    try:
        check(Subject(kind, name, chosen, examples))
    except DoesNotApplyError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("kind", KINDS)
def test_every_built_in_is_checked(kind: str) -> None:
    assert {name for name, _, _ in PARTS[kind]} == set(BUILT_INS[kind])
