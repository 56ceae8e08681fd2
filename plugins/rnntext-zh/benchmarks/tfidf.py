"""A trained run beside TF-IDF with linear classifiers, on characters and on words, on the run's own splits.

    python benchmarks/tfidf.py RUN

Each classifier learns from the training split, takes the strength of its regularisation from the validation split and
answers the test split. The standard error is that of a difference of two accuracies on the same texts.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

import rnntext
from rnntext.corpus import read_corpus
from rnntext.recipe import read_recipe
from rnntext_zh.jieba import JiebaTokenizer

STRENGTHS = {"logistic regression": (1.0, 4.0, 16.0, 64.0), "linear SVC": (0.0625, 0.25, 1.0, 4.0)}
FEATURES: dict[str, Callable[[], TfidfVectorizer]] = {
    "characters 1-3": lambda: TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True),
    "words": lambda: _of_words(1),
    "words 1-2": lambda: _of_words(2),
}


def _of_words(longest: int) -> TfidfVectorizer:
    cut = JiebaTokenizer().tokens
    return TfidfVectorizer(tokenizer=cut, token_pattern=None, ngram_range=(1, longest), sublinear_tf=True)


def _classifier(name: str, strength: float) -> LogisticRegression | LinearSVC:
    return LogisticRegression(C=strength, max_iter=1000) if name.startswith("log") else LinearSVC(C=strength)


def main() -> None:
    """Print a row a method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a finished run")
    folder = parser.parse_args().run
    recipe = read_recipe(os.path.join(folder, "recipe.toml"))
    corpus = read_corpus(recipe.dataset, recipe.splits, recipe.seed)
    texts, labels = {}, {}
    for name in ("train", "validation", "test"):
        examples = list(corpus.splits[name].examples())
        texts[name] = [example.text for example in examples]
        labels[name] = np.array([example.label for example in examples])
        sys.stdout.write(f"{name}: {len(examples):,} texts\n")
    model = rnntext.load(folder)
    network = np.array([answer.label for answer in model(texts["test"])]) == labels["test"]
    sys.stdout.write(f"{'method':40}{'validation':>11}{'test':>8}{'network - it':>14}{'s.e.':>8}{'seconds':>9}\n")
    sys.stdout.write(f"{'network':40}{'':11}{network.mean():8.4f}\n")
    for features, vectorizer in FEATURES.items():
        made = vectorizer()
        train = made.fit_transform(texts["train"])
        validation, test = made.transform(texts["validation"]), made.transform(texts["test"])
        for kind, strengths in STRENGTHS.items():
            started = time.perf_counter()
            fitted = [_classifier(kind, strength).fit(train, labels["train"]) for strength in strengths]
            scores = [(each.predict(validation) == labels["validation"]).mean() for each in fitted]
            best = int(np.argmax(scores))
            right = fitted[best].predict(test) == labels["test"]
            difference = network.astype(float) - right
            error = difference.std(ddof=1) / len(difference) ** 0.5
            sys.stdout.write(
                f"{f'{features}, {kind}, C = {strengths[best]:g}':40}{scores[best]:11.4f}{right.mean():8.4f}"
                f"{difference.mean():14.4f}{error:8.4f}{time.perf_counter() - started:9.1f}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
