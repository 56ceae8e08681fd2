"""Flair's TextClassifier over DocumentRNNEmbeddings, with the widths of the other benchmarks."""

from __future__ import annotations

import tempfile
from collections import Counter
from typing import Any

from benchmarks.peers.serving import answers, serve

EMBEDDING_DIM, HIDDEN_DIM = 100, 128
BATCH = 64  # Flair's default is 32


class FlairClassifier:
    """Learnt word vectors (OneHotEmbeddings: nothing to download), a bidirectional LSTM, Adam at 1e-3."""

    def __init__(self) -> None:
        import flair
        import torch

        torch.set_num_threads(1)
        flair.set_seed(1)
        flair.device = torch.device("cpu")
        self.name = f"Flair {flair.__version__}"
        self.model: Any = None

    def train(self, rows: list[tuple[str, str]], epochs: int) -> None:
        """Train a new model by Flair's own trainer, the texts split at white space."""
        import torch
        from flair.data import Corpus, Dictionary
        from flair.datasets import FlairDatapointDataset
        from flair.embeddings import DocumentRNNEmbeddings, OneHotEmbeddings
        from flair.models import TextClassifier
        from flair.trainers import ModelTrainer

        words, labels = Dictionary(add_unk=True), Dictionary(add_unk=False)
        for word, _ in Counter(word for text, _ in rows for word in text.lower().split()).most_common():
            words.add_item(word)
        sentences = []
        for text, label in rows:
            labels.add_item(label)
            sentences.append(self._sentence(text).add_label("label", label))
        document = DocumentRNNEmbeddings(
            [OneHotEmbeddings(words, embedding_length=EMBEDDING_DIM)],
            hidden_size=HIDDEN_DIM,
            bidirectional=True,
            rnn_type="LSTM",
            reproject_words=False,
            dropout=0.5,
        )
        self.model = TextClassifier(document, label_type="label", label_dictionary=labels)
        corpus = Corpus(FlairDatapointDataset(sentences), sample_missing_splits=False)
        with tempfile.TemporaryDirectory() as folder:
            ModelTrainer(self.model, corpus).train(
                folder,
                optimizer=torch.optim.Adam,
                learning_rate=1e-3,
                mini_batch_size=BATCH,
                max_epochs=epochs,
                train_with_dev=True,  # there is no other split, and so nothing to score after each epoch
                save_final_model=False,
                create_file_logs=False,
                create_loss_file=False,
                embeddings_storage_mode="none",
            )
        self.model.eval()

    def label(self, texts: list[str]) -> list[str]:
        """Return the label of each text."""
        sentences = [self._sentence(text) for text in texts]
        self.model.predict(sentences, mini_batch_size=BATCH)
        return [sentence.get_label("label").value for sentence in sentences]

    def _sentence(self, text: str) -> Any:
        from flair.data import Sentence
        from flair.tokenization import SpaceTokenizer

        return Sentence(text.lower(), use_tokenizer=SpaceTokenizer())


if __name__ == "__main__":
    serve(FlairClassifier(), answers)
