"""Examples that were made from one thing: no drawn split parts them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from rnntext import corpus as corpus_module
from rnntext import registry
from rnntext.contracts import Example
from rnntext.corpus import read_corpus
from rnntext.errors import DataError
from rnntext.recipe import PartChoice
from rnntext.tables import SplitOptions

BOTH = SplitOptions(validation_fraction=0.2, test_fraction=0.1)


class Made:
    """A dataset that gives examples from memory; what is translated has no label in proportion to be kept."""

    contract = 1
    given: dict[str, list[Example]]

    def splits(self):
        return tuple(self.given)

    def files(self, split):
        return ()

    def read(self, split):
        yield from self.given[split]


class MadePairs(Made):
    @classmethod
    def gives(cls, options):
        return frozenset({"pairs_of_a_plugin"})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNTEXT_CACHE", str(tmp_path / "cache"))
    with registry.registrations_undone():
        yield


def read(part: type[Made], drawing: SplitOptions = BOTH, seed: int = 1, **given: list[Example]):
    part.given = given
    return read_corpus(PartChoice("datasets", "made", part, {}), drawing, seed)


def pairs(sources: int, seed: int = 0) -> list[Example]:
    """Return one to five translations of each source, no two alike, in no order."""
    random = np.random.default_rng(seed)
    made = [
        Example(f"s{source}", label=f"t{source} {number}", origin=f"s{source}")
        for source in range(sources)
        for number in range(random.integers(1, 6))
    ]
    return [made[place] for place in random.permutation(len(made))]


def origins_of(split) -> set[str | None]:
    return {example.origin for example in split.examples()}


@pytest.mark.parametrize("seed", range(5))
def test_no_origin_is_on_both_sides_and_no_example_is_lost(seed):
    examples = pairs(300)
    splits = read(MadePairs, seed=seed, train=examples).splits
    found = [origins_of(split) for split in splits.values()]
    assert sum(map(len, found)) == len(set().union(*found)) == 300
    everything = Counter(example.label for split in splits.values() for example in split.examples())
    assert everything == Counter(example.label for example in examples)


@pytest.mark.parametrize("seed", range(5))
def test_whole_families_still_come_to_the_share_that_was_asked_for(seed):
    examples = pairs(300)
    splits = read(MadePairs, seed=seed, train=examples).splits
    assert len(splits["test"]) == round(0.1 * len(examples))
    assert len(splits["validation"]) == round(0.2 * len(examples))
    for name in ("test", "validation"):  # not the large families alone, nor the small
        assert len(splits[name]) / len(origins_of(splits[name])) == pytest.approx(len(examples) / 300, rel=0.1)


def test_the_seed_decides_which_families_are_drawn():
    one, same, other = (origins_of(read(MadePairs, seed=seed, train=pairs(50)).splits["test"]) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_examples_without_an_origin_share_it_with_no_other():
    examples = [Example(f"a{number}", label="x", origin="one") for number in range(20)]
    examples += [Example(f"b{number}", label="y") for number in range(80)]
    splits = read(MadePairs, train=examples).splits
    where = {name: Counter(example.origin for example in split.examples()) for name, split in splits.items()}
    assert sorted(counts["one"] for counts in where.values()) == [0, 0, 20]
    assert all(counts[None] for counts in where.values())


def test_labels_are_kept_in_proportion_among_families_and_what_is_tested_is_taught():
    examples = [
        Example(f"{number}", label="rare" if number < 2 else "ab"[number % 2], origin=f"{number // 2}")
        for number in range(200)
    ]
    splits = read(Made, train=examples).splits
    labels = {name: Counter(example.label for example in split.examples()) for name, split in splits.items()}
    assert labels["train"]["rare"] == 2  # the family goes back whole
    for name in ("validation", "test"):
        assert labels[name]["a"] == labels[name]["b"] > 0


def test_a_draw_says_what_it_kept_together():
    notes = read(MadePairs, SplitOptions(), train=pairs(60)).notes
    assert len(notes) == 1
    assert notes[0].endswith("drawn by seed, those of one origin together")


def test_examples_that_are_all_of_one_origin_cannot_be_drawn_from():
    with pytest.raises(DataError, match="no validation split can be drawn: what the 30 examples were made from"):
        read(MadePairs, SplitOptions(), train=[Example("a", label=f"{n}", origin="one") for n in range(30)])


def test_given_splits_that_share_an_origin_with_training_are_told():
    train, test = pairs(40), [Example("s3", label="another", origin="s3"), Example("new", label="n", origin="new")]
    notes = read(MadePairs, SplitOptions(), train=train, test=test, validation=[Example("v", label="v")]).notes
    assert notes == ["test: 1 of the 2 examples have an origin that is in the training file, too; its scores flatter"]


def test_an_origin_survives_the_table(monkeypatch):
    monkeypatch.setattr(corpus_module, "ROWS_A_WRITE", 2)
    examples = [Example("a", label="x", origin="né"), Example("b", label="x"), Example("c", label="x", origin="")]
    given = read(MadePairs, SplitOptions(), train=examples, validation=examples).splits["train"]
    assert list(given.examples()) == examples
