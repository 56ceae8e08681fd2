"""How near translations come to those of people: BLEU, chrF and perplexity, counted batch by batch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from rnntext_translate.target_words import TargetWords

CHRF_ORDER, CHRF_BETA = 6, 2


class TranslationScores:
    """Scores of translations against one reference each, the sentence itself, with all its words.

    ``bleu``: of the corpus, 0 to 100, by sacrebleu with its own settings (tokenization 13a, case counts). ``chrf``:
    chrF2, 0 to 100: F score of runs of one to six characters, blanks left out. ``perplexity``: exp of the mean loss
    of a word that the decoder is to tell; only figures of the same target words compare.

    Args:
        words: turns targets back into sentences.

    Source:
        Papineni et al. (2002), BLEU; Post (2018), A call for clarity in reporting BLEU scores; Popović (2015), chrF.
    """

    def __init__(self, words: TargetWords) -> None:
        self.words = words
        self.texts = 0
        self.loss = 0.0
        self.told = 0
        self.right = np.zeros(4, dtype=np.int64)
        self.given = np.zeros(4, dtype=np.int64)
        self.lengths = np.zeros(2, dtype=np.int64)  # of translations, of references
        self.characters = np.zeros((3, CHRF_ORDER), dtype=np.int64)  # runs of translations, of references, of both

    def update(self, answers: np.ndarray, targets: np.ndarray) -> None:
        """Count some texts.

        Args:
            answers: object [B, 3]: the translation, the loss of the reference's words and how many these are (0 of a
                method that gives no probabilities).
            targets: int64 [B, S], as ``target_words.encode`` gives them.
        """
        if not len(answers):
            return
        translations = answers[:, 0].tolist()
        references = [self.words.sentence(row) for row in targets.tolist()]
        score = _bleu().corpus_score(translations, [references])
        self.right += score.counts
        self.given += score.totals
        self.lengths += (score.sys_len, score.ref_len)
        for translation, reference in zip(translations, references, strict=True):
            self.characters += _matches(translation, reference)
        self.loss += float(answers[:, 1].sum())
        self.told += int(answers[:, 2].sum())
        self.texts += len(answers)

    def compute(self) -> dict[str, float]:
        """Return the metrics of all texts that were counted; {} if there were none."""
        if not self.texts:
            return {}
        bleu = _bleu().compute_bleu(
            self.right.tolist(), self.given.tolist(), *self.lengths.tolist(), smooth_method="exp"
        )
        scores = {"bleu": float(bleu.score), "chrf": self._chrf()}
        if self.told:
            scores["perplexity"] = float(np.exp(self.loss / self.told))
        return scores

    def _chrf(self) -> float:
        """Return chrF2 of the corpus, as sacrebleu: means over the lengths of which both sides have runs."""
        translations, references, both = self.characters
        counted = (translations > 0) & (references > 0)
        if not both.any():
            return 0.0
        precision = float((both[counted] / translations[counted]).mean())
        recall = float((both[counted] / references[counted]).mean())
        factor = CHRF_BETA**2
        return 100 * (1 + factor) * precision * recall / (factor * precision + recall)


def signature() -> str:
    """Return how BLEU is computed, as papers state it."""
    metric = _bleu()
    metric.corpus_score(["a"], [["a"]])  # the number of references is known after a score
    return str(metric.get_signature())


def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(force=True)  # no warning that a translation looks tokenized: French parts some marks by a blank


def _matches(translation: str, reference: str) -> np.ndarray:
    """Return int64 [3, 6]: runs of each length in the translation, in the reference, and in both."""
    found = np.zeros((3, CHRF_ORDER), dtype=np.int64)
    left, right = "".join(translation.split()), "".join(reference.split())
    for order in range(1, CHRF_ORDER + 1):
        ours, theirs = _runs(left, order), _runs(right, order)
        found[:, order - 1] = ours.total(), theirs.total(), (ours & theirs).total()
    return found


def _runs(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))
