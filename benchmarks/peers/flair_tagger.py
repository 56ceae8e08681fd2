"""Flair's SequenceTagger over words and characters, with the widths of rnntext's side and Flair's own training."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

from benchmarks.peers.serving import serve
from benchmarks.peers.serving_tags import answers, names_in

WORD_DIM, CHAR_DIM, HIDDEN_DIM, BATCH = 100, 25, 256, 32
LABEL = "ner"


class FlairTagger:
    """OneHotEmbeddings and CharacterEmbeddings (neither is a download), one bidirectional LSTM, a CRF over BIOES."""

    def __init__(self) -> None:
        import flair
        import torch

        torch.set_num_threads(1)
        flair.set_seed(1)
        flair.device = torch.device("cpu")
        self.name = f"Flair {flair.__version__}"
        self.words: Any = None
        self.characters: Any = None
        self.types: Any = None
        self.sentences: list[Any] = []
        self.model: Any = None

    def learn(self, rows: Sequence[tuple[list[str], list[str]]], most: int) -> None:
        """Build the dictionaries, of words that occur twice, and the sentences to train on."""
        from flair.data import Dictionary

        counts = Counter(chain.from_iterable(words for words, _ in rows))
        self.words, self.characters = Dictionary(add_unk=True), Dictionary(add_unk=True)
        self.types = Dictionary(add_unk=False)
        self.types.span_labels = True
        for word, count in counts.most_common():
            if count > 1:
                self.words.add_item(word)
        for letter, _ in Counter(chain.from_iterable(counts)).most_common():
            self.characters.add_item(letter)
        for name in sorted({tag[2:] for _, tags in rows for tag in tags if tag != "O"}):
            self.types.add_item(name)
        self.sentences = self.take([words for words, _ in rows[:most]])
        for sentence, (_, tags) in zip(self.sentences, rows[:most], strict=True):
            for start, end, name in names_in(tags):
                sentence[start:end].add_label(LABEL, name)

    def epoch(self) -> None:
        """Train by Flair's own trainer: SGD, as it does by default."""
        from flair.data import Corpus
        from flair.datasets import FlairDatapointDataset
        from flair.embeddings import CharacterEmbeddings, OneHotEmbeddings, StackedEmbeddings
        from flair.models import SequenceTagger
        from flair.trainers import ModelTrainer

        characters = CharacterEmbeddings(
            path_to_char_dict=self.characters, char_embedding_dim=CHAR_DIM, hidden_size_char=CHAR_DIM
        )
        embeddings = StackedEmbeddings([OneHotEmbeddings(self.words, embedding_length=WORD_DIM), characters])
        self.model = SequenceTagger(
            embeddings, self.types, LABEL, hidden_size=HIDDEN_DIM, rnn_layers=1, use_crf=True, tag_format="BIOES"
        )
        corpus = Corpus(FlairDatapointDataset(self.sentences), sample_missing_splits=False)
        with tempfile.TemporaryDirectory() as folder:
            ModelTrainer(self.model, corpus).train(
                folder,
                learning_rate=0.1,
                mini_batch_size=BATCH,
                max_epochs=1,
                train_with_dev=True,  # there is no other split, and so nothing to score after each epoch
                save_final_model=False,
                create_file_logs=False,
                create_loss_file=False,
                embeddings_storage_mode="none",
            )
        self.model.eval()

    def take(self, sentences: Sequence[list[str]]) -> list[Any]:
        """Return Flair's sentences."""
        from flair.data import Sentence

        return [Sentence(words) for words in sentences]

    def tag(self, taken: list[Any], batch: int) -> int:
        """Tag the sentences; return how many names were found."""
        self.model.predict(taken, mini_batch_size=batch)
        return sum(len(sentence.get_labels(LABEL)) for sentence in taken)


if __name__ == "__main__":
    serve(FlairTagger(), answers)
