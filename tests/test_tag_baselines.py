"""The baselines of taggers, and how tokens with one target each reach them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext import baselines, tag_baselines
from rnntext.baselines import LabelledTokens, MajorityBaseline, TfidfBaseline
from rnntext.contracts import Example
from rnntext.encoding import TypeTable, encode_examples, type_counts
from rnntext.measuring import _baselines
from rnntext.metrics import TagScores
from rnntext.preparing import Prepared
from rnntext.schemes import TagSet
from rnntext.tag_baselines import CrfsuiteBaseline, MostFrequentTagBaseline, crfsuite_installed, features, shape
from rnntext.tokenizers.whitespace import WhitespaceTokenizer
from rnntext.vocabularies.frequency import FrequencyVocabulary

TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
TAG_SET = TagSet(TAGS, "bio")
NAMES = ["Ada", "Bruno", "Cleo", "Dora", "Emil"]
PLACES = ["Northham", "Eastham", "Westham"]
PLAIN = ["the", "lamp", "and", "my", "soup", "near", "today"]
Tagged = list[tuple[str, int]]

needs_crfsuite = pytest.mark.skipif(not crfsuite_installed(), reason="python-crfsuite is not installed")


def made_up(count: int, seed: int) -> list[Tagged]:
    """Return sentences of plain words, places that end in -ham, and names that follow "Ms"."""
    chooser = random.Random(seed)
    sentences = []
    for _ in range(count):
        words: Tagged = [(word, 0) for word in chooser.choices(PLAIN, k=chooser.randint(1, 5))]
        words.insert(chooser.randint(0, len(words)), (chooser.choice(PLACES), 3))
        if chooser.random() < 0.7:
            words += [("Ms", 0), (chooser.choice(NAMES), 1), (chooser.choice(NAMES), 2)]
        sentences.append(words)
    return sentences


def labelled(sentences: Sequence[Tagged], gaps: Sequence[int] = ()) -> LabelledTokens:
    """Return the sentences; a target of -1 stands for one without tokens, and at the start of those in ``gaps``."""
    rows = [[tag for _, tag in sentence] or [-1] for sentence in sentences]
    for number in gaps:
        rows[number][0] = -1
    width = max(map(len, rows))
    targets = np.array([[*row, *[-1] * (width - len(row))] for row in rows], dtype=np.int64)
    known = {word.lower() for sentence in sentences for word, _ in sentence}
    return LabelledTokens(
        lambda: ([word for word, _ in sentence] for sentence in sentences),
        lambda part: targets[part],
        lambda tokens: [token.lower() not in known for token in tokens],
    )


def fitted(baseline: Any, sentences: Sequence[Tagged]) -> Any:
    baseline.fit(labelled(sentences), labelled(sentences[:1]))
    return baseline


def scores_of(baseline: Any, sentences: Sequence[Tagged]) -> dict[str, float]:
    counts = TagScores(TAG_SET)
    for texts, targets in labelled(sentences).chunks():
        counts.update(baseline.answers(texts), targets)
    return counts.compute()


# --- a split, as a baseline sees it -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 255, 256, 257, 700])
def test_chunks_are_the_split_in_order(count: int) -> None:
    sentences = made_up(count, 1)
    data = labelled(sentences)
    chunks = list(data.chunks())
    assert [len(texts) for texts, _ in chunks[:-1]] == [baselines.TEXTS_A_CHUNK] * (len(chunks) - 1)
    assert [text for texts, _ in chunks for text in texts] == list(data.tokens())
    assert np.concatenate([targets for _, targets in chunks]).tolist() == data.targets.tolist()


def test_sentences_have_a_target_a_token() -> None:
    sentences: list[Tagged] = [[("a", 1), ("b", 0)], [], [("c", 3), ("d", 0), ("e", 2)]]
    data = labelled(sentences)
    assert [(tokens, row.tolist()) for tokens, row in data.sentences()] == [
        (["a", "b"], [1, 0]),
        ([], []),
        (["c", "d", "e"], [3, 0, 2]),
    ]


class PerToken:
    """As much of a tagging head as data need: a target a token."""

    methods: Any = {}

    @classmethod
    def encode_targets(cls, example: Example, labels: Any, num_tokens: int) -> Sequence[int]:
        return [TAGS.index(tag) for tag in example.label or ()] or [-1]

    def scores(self) -> TagScores:
        return TagScores(TAG_SET)

    def baselines(self) -> Any:
        return self.methods


@pytest.fixture
def prepared() -> Prepared:
    table, splits, examples = TypeTable(), {}, {}
    for name, count, seed in (("train", 90, 1), ("validation", 20, 2), ("test", 600, 3)):
        rows = [*made_up(count, seed), []]
        examples[name] = [
            Example(
                " ".join(word for word, _ in row),
                tokens=tuple(word for word, _ in row),
                label=tuple(TAGS[tag] for _, tag in row),
                fields={"length": "short" if len(row) < 5 else "long"},
            )
            for row in rows
        ]
        splits[name] = encode_examples(
            examples[name],
            WhitespaceTokenizer(),
            table,
            None,
            (PerToken, {}),
            ("length",),
            name,  # type: ignore[arg-type]
        )
    vocabulary = FrequencyVocabulary()
    vocabulary.fit(type_counts(splits["train"], table))
    corpus = SimpleNamespace(
        splits={name: SimpleNamespace(examples=lambda rows=rows: iter(rows)) for name, rows in examples.items()}
    )
    return Prepared(corpus, WhitespaceTokenizer(), vocabulary, {}, table, table.token_ids(vocabulary), splits)  # type: ignore[arg-type]


def test_tokens_are_normalised_or_raw_as_asked(prepared: Prepared) -> None:
    normal, raw = (prepared.labelled_tokens("train", raw=raw) for raw in (False, True))
    assert list(normal.tokens()) == [[word.lower() for word in text] for text in raw.tokens()]
    assert ["Ms", "Ada"] in [text[-3:-1] for text in raw.tokens()]
    assert normal.targets.tolist() == raw.targets.tolist()
    assert list(raw.tokens())[-1] == []
    assert raw.targets[-1].max() == -1


def test_some_rows_of_a_split_keep_their_targets(prepared: Prepared) -> None:
    whole = list(prepared.labelled_tokens("test").sentences())
    some = list(prepared.labelled_tokens("test", np.array([3, 600, 17])).sentences())
    assert [(tokens, row.tolist()) for tokens, row in some] == [
        (whole[number][0], whole[number][1].tolist()) for number in (3, 600, 17)
    ]


class Memory:
    """Knows one tag of each word; written by somebody who never heard of raw tokens."""

    widths: Any = []

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        self.tags = {
            word: int(tag)
            for data in (train, validation)
            for text, row in data.sentences()
            for word, tag in zip(text, row, strict=True)
        }

    def answers(self, tokens: Any) -> np.ndarray:
        texts = list(tokens)
        answers = np.full((len(texts), max(map(len, texts)), 2), -1, dtype=np.int32)
        for row, text in enumerate(texts):
            for place, word in enumerate(text):
                answers[row, place] = self.tags[word], 0
        self.widths.append(answers.shape[:2])
        return answers

    def megabytes(self) -> float:
        return 1.0


def test_baselines_are_scored_in_chunks_by_group_with_the_tokens_that_they_ask_for(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Raw(Memory):
        raw_tokens = True

    monkeypatch.setattr(PerToken, "methods", {"normal": Memory(), "raw": Raw()})
    monkeypatch.setattr(Memory, "widths", [])
    recipe = SimpleNamespace(baselines=SimpleNamespace(max_rows=None), seed=1)
    texts = [{"text": "", "tokens": ["Ms", "Ada"]}, {"text": "", "tokens": []}]
    scores, groups = _baselines(SimpleNamespace(head=PerToken()), recipe, prepared, "test", texts, None)  # type: ignore[arg-type]
    assert {"span_f1", "token_accuracy", "milliseconds_per_text", "megabytes", "train_seconds"} <= set(scores["raw"])
    assert [count for count, _ in Memory.widths] == [256, 256, 89, 2, 2] * 2
    raw_words, normal_words = (set(PerToken.methods[name].tags) for name in ("raw", "normal"))
    assert "Ms" in raw_words
    assert normal_words == {word.lower() for word in raw_words}
    for name in ("normal", "raw"):
        by_length = groups[name]["length"]
        assert by_length["short"]["texts"] + by_length["long"]["texts"] == 601
        shares = [by_length[value]["token_accuracy"] for value in ("short", "long")]
        assert min(shares) <= scores[name]["token_accuracy"] <= max(shares)


# --- the most frequent tag --------------------------------------------------------------------------------------


def test_each_word_has_its_most_frequent_tag() -> None:
    train: list[Tagged] = [
        [("a", 0), ("b", 1), ("b", 2), ("b", 1)],
        [("c", 3), ("once", 2), ("rare", 2), ("new", 3)],
        [],
        [("c", 3), ("c", 0), ("a", 0)],
    ]
    baseline = fitted(MostFrequentTagBaseline(num_tags=4), train)
    answers = baseline.answers(iter([["b", "a", "zz", "c"], [], ["once"]]))
    assert answers.dtype == np.int32
    assert answers[..., 0].tolist() == [[1, 0, 2, 3], [-1] * 4, [2, -1, -1, -1]]
    assert answers[..., 1].tolist() == [[0, 0, 1, 0], [-1] * 4, [0, -1, -1, -1]]
    assert 0 < baseline.megabytes() < 1e-3


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3)), max_size=6), min_size=1, max_size=300)
)
def test_most_frequent_tags_are_those_that_a_plain_count_finds(sentences: list[Tagged]) -> None:
    baseline = fitted(MostFrequentTagBaseline(num_tags=4), sentences)
    pairs = [pair for sentence in sentences for pair in sentence]
    overall = [sum(tag == other for _, tag in pairs) for other in range(4)]
    by_word = {word: [tag for other, tag in pairs if other == word] for word, _ in pairs}
    for word, tags in by_word.items():
        # As often, then more often in all words, then the smaller number.
        expected = max(range(4), key=lambda tag: (tags.count(tag), overall[tag], -tag))
        assert baseline.answers([[word]]).tolist() == [[[expected, 0]]]
    single = [tags[0] for tags in by_word.values() if len(tags) == 1]
    counts = [single.count(tag) for tag in range(4)] if single else overall
    assert baseline.answers([["zz"]]).tolist() == [[[counts.index(max(counts)), 1]]]


def test_without_rare_words_the_unknown_ones_get_the_most_frequent_tag_of_all() -> None:
    baseline = fitted(MostFrequentTagBaseline(num_tags=3), [[("a", 2), ("a", 2), ("b", 1), ("b", 1), ("a", 2)]])
    assert baseline.answers([["zz"]]).tolist() == [[[2, 1]]]


@pytest.mark.parametrize("kind", [MostFrequentTagBaseline, pytest.param(CrfsuiteBaseline, marks=needs_crfsuite)])
class TestBoth:
    def test_nothing_to_learn_from_is_answered_all_the_same(self, kind: type) -> None:
        baseline = kind(num_tags=2)
        baseline.fit(labelled([[], []]), labelled([[]]))
        assert baseline.answers([["a"], []]).tolist() == [[[0, 1]], [[-1, -1]]]
        assert baseline.answers([[], []]).shape == (2, 0, 2)
        assert baseline.answers([]).shape == (0, 0, 2)
        assert baseline.megabytes() >= 0

    def test_a_sentence_with_an_untagged_token_is_not_learnt_from(self, kind: type) -> None:
        train: list[Tagged] = [[("a", 0), ("b", 1)], *([("a", 1), ("b", 0)] for _ in range(5)), [("a", 0), ("b", 1)]]
        baseline = kind(num_tags=2)
        baseline.fit(labelled(train, gaps=range(1, 6)), labelled(train[:1]))
        assert baseline.answers([["a", "b"]])[0, :, 0].tolist() == [0, 1]

    def test_what_is_unknown_is_what_the_vocabulary_does_not_know(self, kind: type) -> None:
        train: list[Tagged] = [[("a", 0), ("B", 1)]]
        baseline = kind(num_tags=2)
        baseline.fit(labelled(train), labelled(train))
        assert baseline.answers([["A", "c"], ["b"]])[:, :, 1].tolist() == [[0, 1], [0, -1]]

    def test_one_tag_and_half_a_surrogate_pair_are_learnt(self, kind: type) -> None:
        baseline = fitted(kind(num_tags=2), [[("\ud83d", 1), ("a:b\\", 1)]])
        assert baseline.answers([["\ud83d", "a:b\\", "\x00"]]).tolist() == [[[1, 0], [1, 0], [1, 1]]]
        assert baseline.megabytes() > 0

    def test_the_same_data_give_the_same_answers(self, kind: type) -> None:
        sentences = made_up(60, 4)
        texts = list(labelled(made_up(20, 5)).tokens())
        first, second = (fitted(kind(num_tags=4), sentences).answers(texts).tolist() for _ in range(2))
        assert first == second

    def test_answers_are_those_of_each_text_alone(self, kind: type) -> None:
        baseline = fitted(kind(num_tags=4), made_up(60, 6))
        texts = [*labelled(made_up(8, 7)).tokens(), []]
        together = baseline.answers(iter(texts))
        for row, text in zip(together, texts, strict=True):
            assert row[: len(text)].tolist() == baseline.answers([text])[0].tolist()
            assert (row[len(text) :] == -1).all()


# --- CRFsuite ---------------------------------------------------------------------------------------------------


@needs_crfsuite
def test_crfsuite_beats_the_most_frequent_tag_where_affixes_and_neighbours_tell(
    capfd: pytest.CaptureFixture[str],
) -> None:
    train, test = made_up(200, 8), made_up(100, 9)
    strangers = [
        [({"Northham": "Southham", "Ada": "Ursula", "Emil": "Viktor"}.get(word, word), tag) for word, tag in row]
        for row in test
    ]
    crfsuite, plain = fitted(CrfsuiteBaseline(num_tags=4), train), fitted(MostFrequentTagBaseline(num_tags=4), train)
    assert capfd.readouterr() == ("", "")
    assert scores_of(crfsuite, strangers)["span_f1"] > 0.97 > 0.8 > scores_of(plain, strangers)["span_f1"]
    assert scores_of(crfsuite, strangers)["unknown_accuracy"] > 0.95
    assert crfsuite.megabytes() == len(crfsuite.model) / 1e6 > plain.megabytes()


@needs_crfsuite
def test_crfsuite_leaves_no_file_behind(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_baselines.tempfile, "tempdir", str(tmp_path))
    baseline = fitted(CrfsuiteBaseline(num_tags=4), made_up(20, 1))
    assert list(tmp_path.iterdir()) == []
    assert baseline.answers([["Ms", "Ada"]])[0, :, 0].tolist() == [0, 1]


@needs_crfsuite
def test_crfsuite_knows_a_word_whatever_its_case() -> None:
    baseline = fitted(CrfsuiteBaseline(num_tags=2), [[("The", 0), ("ÄPFEL", 1)]])
    assert baseline.answers([["THE", "Äpfel", "apfel"]])[0, :, 1].tolist() == [0, 0, 1]


@needs_crfsuite
def test_crfsuite_learns_with_the_settings_of_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    import pycrfsuite

    seen = []

    class Watching(pycrfsuite.Trainer):
        def train(self, *arguments: Any) -> None:
            seen.append({name: self.get(name) for name in ("c1", "c2", "max_iterations")})
            super().train(*arguments)

    monkeypatch.setattr(pycrfsuite, "Trainer", Watching)
    fitted(CrfsuiteBaseline(num_tags=4), made_up(5, 1))
    assert seen == [{"c1": 0.1, "c2": 0.01, "max_iterations": 100}]


def test_crfsuite_is_offered_where_it_is_installed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_baselines.importlib.util, "find_spec", lambda name: None)
    assert not crfsuite_installed()
    monkeypatch.setattr(tag_baselines.importlib.util, "find_spec", lambda name: name == "pycrfsuite" or None)
    assert crfsuite_installed()


def test_baselines_say_which_tokens_they_read() -> None:
    kinds = (MajorityBaseline, TfidfBaseline, MostFrequentTagBaseline, CrfsuiteBaseline)
    assert [kind.raw_tokens for kind in kinds] == [False, False, False, True]


def test_features_are_of_the_word_its_neighbours_and_the_two_pairs() -> None:
    first, second, third = features(["New", "co-op", "42"])
    assert {
        "word=co-op",
        "lower=co-op",
        "shape=x-x",
        "hyphen",
        "prefix=c",
        "prefix=co-o",
        "suffix=p",
        "suffix=o-op",
    } <= {*second}
    assert {"-1:lower=new", "-1:shape=Xx", "-1:title", "1:lower=42", "1:shape=d", "1:digits"} <= {*second}
    assert {"pair-:New co-op", "pair+:co-op 42", "-2:edge", "2:edge"} <= {*second}
    assert {"-1:edge", "-2:edge", "2:lower=42", "title", "prefix=New"} <= {*first}
    assert not [name for name in first if name.startswith(("pair-", "prefix=New ", "hyphen", "digit", "suffix=New "))]
    assert {"digits", "digit", "1:edge", "2:edge", "-2:title", "-2:lower=new"} <= {*third}
    assert "upper" in features(["NATO"])[0]
    assert "mark" in features(["--"])[0]
    assert features([]) == []


def test_features_of_a_word_are_distinct() -> None:
    for row in features(["A", "A", "A", "A", "A"]):
        assert len(set(row)) == len(row)


@pytest.mark.parametrize(
    ("word", "outline"),
    [
        ("Northham", "Xx"),
        ("McCoy", "XxXx"),
        ("U.S.", "X.X."),
        ("1,250kg", "d,dx"),
        ("東京", "x"),
        ("--", "--"),
        ("", ""),
    ],
)
def test_the_shape_of_a_word_is_its_outline(word: str, outline: str) -> None:
    assert shape(word) == outline
