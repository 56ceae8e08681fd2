"""Figures against sacrebleu's own."""

from __future__ import annotations

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from rnntext.contracts import Example
from rnntext_translate.baselines import as_answers
from rnntext_translate.scoring import TranslationScores, signature
from rnntext_translate.target_words import TargetWords, encode, learn

REFERENCES = [
    "Je n'ai pas vu le chat noir, hier soir.",
    "Elle s'est assise sur la chaise.",
    "Où est-ce que tu habites ?",
    "Nous partons demain matin à 10,5 heures.",
    "Zut !",
]
TRANSLATIONS = [
    "Je n'ai pas vu le chien noir hier soir.",
    "Elle s'est assise.",
    "Où est-ce que vous habitez ?",
    "Nous partons demain matin à 10,5 heures.",
    "",
]
TAUGHT = [Example("x", label=sentence) for sentence in [*REFERENCES[1:3], "le chat noir est sur la chaise ."]]
WORDS = TargetWords(learn(TAUGHT), min_count=2, max_size=None)  # most words of the references are unknown


def targets(sentences: list[str]) -> np.ndarray:
    rows = [encode(sentence, learn(TAUGHT)["words"]) for sentence in sentences]
    width = max(map(len, rows))
    return np.asarray([[*row, *[-1] * (width - len(row))] for row in rows])


def scored(translations: list[str], references: list[str], sizes: list[int]) -> dict[str, float]:
    scores, start = TranslationScores(WORDS), 0
    for size in sizes:
        part = slice(start, start + size)
        scores.update(as_answers(translations[part]), targets(references)[part])
        start += size
    return scores.compute()


@pytest.mark.parametrize("sizes", [[5], [1, 1, 1, 1, 1], [2, 0, 3]])
def test_bleu_and_chrf_are_sacrebleus_on_the_true_sentences_however_they_are_cut(sizes):
    found = scored(TRANSLATIONS, REFERENCES, sizes)
    assert found["bleu"] == pytest.approx(BLEU().corpus_score(TRANSLATIONS, [REFERENCES]).score)
    assert found["chrf"] == pytest.approx(CHRF().corpus_score(TRANSLATIONS, [REFERENCES]).score)
    assert "perplexity" not in found


def test_what_is_right_is_a_hundred_and_what_is_wholly_wrong_near_nothing():
    right = scored(REFERENCES, REFERENCES, [5])
    assert right["bleu"] == pytest.approx(100)
    assert right["chrf"] == pytest.approx(100)
    wrong = scored(["#"] * 5, REFERENCES, [5])
    assert wrong["bleu"] < 1
    assert wrong["chrf"] == 0


def test_perplexity_is_per_word_that_is_told():
    scores = TranslationScores(WORDS)
    scores.update(as_answers(["a", "b"], [2.0, 4.0], [3, 5]), targets(REFERENCES[:2]))
    scores.update(as_answers(["c"], [6.0], [4]), targets(REFERENCES[2:3]))
    assert scores.compute()["perplexity"] == pytest.approx(np.exp(12 / 12))


def test_nothing_counted_is_nothing_told():
    assert TranslationScores(WORDS).compute() == {}


def test_the_signature_is_the_one_that_papers_state():
    assert signature().startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
