"""The sample reviews: complete, balanced, and no two alike within or across splits."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "recipes" / "data" / "reviews"
SPLITS = {"train": 1600, "validation": 200, "test": 600}  # at least so many reviews
PHENOMENA = {"plain", "negation", "contrast", "concession", "noisy", "irony"}
WORDS = re.compile(r"\w+(?:['’]\w+)?")


def reviews(split: str) -> list[dict[str, str]]:
    lines = (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def words() -> list[list[str]]:
    return [WORDS.findall(review["text"].lower()) for split in SPLITS for review in reviews(split)]


@pytest.mark.parametrize("split", SPLITS)
def test_every_row_is_whole_and_labels_are_half_each(split: str) -> None:
    rows = reviews(split)
    assert len(rows) >= SPLITS[split]
    assert all(set(row) == {"text", "label", "topic", "phenomenon"} for row in rows)
    assert {row["phenomenon"] for row in rows} == PHENOMENA
    labels = Counter(row["label"] for row in rows)
    assert labels["positive"] == labels["negative"] == len(rows) / 2


def test_about_twenty_kinds_of_thing_are_reviewed_in_the_test_split() -> None:
    topics = Counter(row["topic"] for row in reviews("test"))
    assert len(topics) >= 20
    assert min(topics.values()) >= 15


def test_the_readme_states_the_shares() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for split in SPLITS:
        assert f"| `{split}.jsonl` | {len(reviews(split)):,} |" in text
    counts = {split: Counter(row["phenomenon"] for row in reviews(split)) for split in SPLITS}
    for phenomenon in PHENOMENA:
        shares = [f"{count[phenomenon] / count.total():.0%}" for count in counts.values()]
        joined = r" \| ".join(shares)
        assert re.search(rf"\| {phenomenon} \| .* \| {joined} \|", text), (phenomenon, shares)


def test_no_two_texts_are_equal_in_lower_case(words: list[list[str]]) -> None:
    assert [" ".join(text) for text, count in Counter(map(tuple, words)).items() if count > 1] == []


def test_no_two_texts_share_a_skeleton(words: list[list[str]]) -> None:
    """Texts of one length that differ in a few words only: three, or under half of a longer text."""
    by_length = defaultdict(list)
    for text in words:
        by_length[len(text)].append(text)
    for length, texts in by_length.items():
        few = 2 if length <= 6 else max(3, int(0.45 * length))
        for number, text in enumerate(texts):
            for other in texts[:number]:
                if sum(left != right for left, right in zip(text, other, strict=True)) <= few:
                    pytest.fail(f"{' '.join(text)!r} and {' '.join(other)!r}")


def test_no_two_texts_share_half_of_their_word_trigrams(words: list[list[str]]) -> None:
    trigrams = [set(zip(text, text[1:], text[2:], strict=False)) for text in words]
    holders = defaultdict(list)
    for number, each in enumerate(trigrams):
        for trigram in each:
            holders[trigram].append(number)
    shared: Counter[tuple[int, int]] = Counter()
    for numbers in holders.values():
        shared.update((left, right) for left in numbers for right in numbers if left < right)
    alike = [
        (" ".join(words[left]), " ".join(words[right]))
        for (left, right), count in shared.items()
        if count > min(len(trigrams[left]), len(trigrams[right])) / 2
    ]
    assert alike == []
