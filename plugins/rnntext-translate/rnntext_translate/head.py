"""Head ``translation``: a text in, its translation out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.baselines import Baseline
from rnntext.contracts import Batch, Encoded, Example, HeadOutput, Reads
from rnntext_translate.baselines import CopyBaseline, NearestBaseline, as_answers
from rnntext_translate.beam import Found, search
from rnntext_translate.decoder import AttentionDecoder, Memory
from rnntext_translate.pairs import TRANSLATION
from rnntext_translate.scoring import TranslationScores, signature
from rnntext_translate.target_words import END_ID, UNKNOWN_ID, TargetWords, encode, learn, translation_of

SHORTEST_LIMIT = 5
"""Words that a translation may have at least, however short the text is."""


@dataclass(slots=True)
class TranslationOutput(HeadOutput):
    """Scores float [B, V] of each translation's first word; the words after it hang on what is chosen."""

    memory: Memory = field(kw_only=True)
    limits: Tensor = field(kw_only=True)
    """int64 [B], the longest translation of each text in words, its end included."""
    losses: Tensor | None = field(default=None, kw_only=True)
    """float [B], the sum over each translation's words; None without targets and in training."""
    told: Tensor | None = field(default=None, kw_only=True)
    """int64 [B], how many words these are, with the end."""


class TranslationHead(nn.Module):
    """Translates a text with a decoder that attends to the states of all its tokens.

    Choose it for pairs of sentences, with an encoder that reads both directions. It writes words that it saw in
    training translations, marks and blanks as they stand there; a word that is in none of them cannot be told.

    Args:
        input_dim: width D of the encoder's states.
        labels: the words of the training translations with their counts.
        embedding_dim: width of the vectors of target words.
        hidden_dim: width of the decoder's state.
        attention_dim: width of the network that weighs the text's tokens.
        dropout: share of numbers dropped in training, of the words' vectors and of the decoder's last layer.
        min_count: target words that occur less often in training are unknown, and never written.
        max_size: only so many target words, the most frequent; all unless given.
        label_smoothing: share of each word's probability that training spreads over all others.
        beam_size: translations that are kept at every word; 1 takes the most probable word.
        length_penalty: 0 prefers the probable translation, which is often the short; 1 compares by word.
        max_length_ratio: a translation has at most so many words, marks included, for each token of its text, and 5.
        scoring: how the validation and test splits are translated; greedy is quicker, and a little worse.

    Source:
        Bahdanau, Cho and Bengio (2015), Neural machine translation by jointly learning to align and translate,
        section 3 and appendix A; label smoothing: Szegedy et al. (2016), Rethinking the Inception architecture,
        section 7.
    """

    contract = 1
    metrics: Mapping[str, Literal["larger", "smaller"]] = {
        "bleu": "larger",
        "chrf": "larger",
        "perplexity": "smaller",
    }
    hides: ClassVar[frozenset[Reads]] = frozenset()
    why_hidden = ""
    cuts_long_texts = False
    refused_options: ClassVar[Mapping[str, str]] = {
        "pooling": "translation attends to every state, so there is nothing to pool",
    }

    def __init__(
        self,
        *,
        input_dim: int,
        labels: Mapping[str, Any],
        embedding_dim: Annotated[int, Field(ge=1)] = 256,
        hidden_dim: Annotated[int, Field(ge=1)] = 256,
        attention_dim: Annotated[int, Field(ge=1)] = 256,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
        min_count: Annotated[int, Field(ge=1)] = 1,
        max_size: Annotated[int, Field(ge=1)] | None = None,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        beam_size: Annotated[int, Field(ge=1)] = 5,
        length_penalty: Annotated[float, Field(ge=0)] = 1.0,
        max_length_ratio: Annotated[float, Field(gt=0)] = 2.0,
        scoring: Literal["beam", "greedy"] = "beam",
    ) -> None:
        super().__init__()
        self.words = TargetWords(labels, min_count, max_size)
        self.decoder = AttentionDecoder(
            self.words.shares(), input_dim, embedding_dim, hidden_dim, attention_dim, dropout
        )
        self.label_smoothing = label_smoothing
        self.beam_size = beam_size
        self.length_penalty = length_penalty
        self.max_length_ratio = max_length_ratio
        self.scoring_width = beam_size if scoring == "beam" else 1
        self.gives = f"scores float [B, V {len(self.words):,}] of each word of the translations, one after the other"
        self.units = {
            "bleu": f"sacrebleu {signature()}",
            "chrf": "chrF2",
            "perplexity": "per word of the translation, marks and end included",
        }

    @classmethod
    def needs(cls, options: Mapping[str, Any]) -> frozenset[str]:
        """Return that texts need translations."""
        return frozenset({TRANSLATION})

    @classmethod
    def assumed(cls, tokens: Sequence[str], number: int) -> Example:
        """Return a made-up pair, as long in both languages; the words of eight pairs are the same."""
        words = (f"w{number // 8 * len(tokens) + place}" for place in range(len(tokens)))
        return Example("", tuple(tokens), " ".join(words))

    @classmethod
    def learn_labels(cls, examples: Iterable[Example]) -> dict[str, Any]:
        """Return the words of all translations with their counts.

        Raises:
            DataError: a text has no translation.
        """
        return learn(examples)

    @classmethod
    def encode_targets(cls, example: Example, labels: Mapping[str, Any], num_tokens: int) -> Sequence[int]:
        """Return the words of a translation as numbers; those that training does not have are spelled.

        Raises:
            DataError: the text has no translation.
        """
        return encode(translation_of(example), labels["words"])

    def forward(self, encoded: Encoded, batch: Batch) -> TranslationOutput:
        """Return the scores of the translations' words, and their mean loss; what else is asked for is told later."""
        memory = self.decoder.remember(encoded, batch.mask)
        limits = (batch.lengths * self.max_length_ratio).ceil().long() + SHORTEST_LIMIT + 1
        if batch.targets is None:
            before = torch.full_like(batch.lengths, END_ID)
            first, _ = self.decoder.step(before, memory.begin, memory)
            return TranslationOutput(first, memory=memory, limits=limits)
        ids, lengths = self.words.ids(batch.targets)
        scores, told, rows = self.decoder(memory, ids, lengths)
        texts = len(lengths)
        first = scores.detach()[:texts][torch.argsort(rows[:texts])]  # step by step: of all texts before any second
        if self.training:
            loss = nn.functional.cross_entropy(scores, told, label_smoothing=self.label_smoothing)
            return TranslationOutput(first, loss, len(told), memory=memory, limits=limits)
        losses = nn.functional.cross_entropy(scores.float(), told, reduction="none")
        by_text = losses.new_zeros(texts).index_add_(0, rows, losses)
        return TranslationOutput(
            first, losses.mean(), len(told), memory=memory, limits=limits, losses=by_text, told=lengths
        )

    def translate(self, output: TranslationOutput, width: int) -> Found:
        """Return the ``width`` best translations of each text."""
        memory = output.memory.in_float32()

        def step(words: Tensor, hidden: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            scores, hidden = self.decoder.step(words, hidden, memory.of(rows))
            scores[:, UNKNOWN_ID] = -torch.inf  # it stands for no word that could be written
            return scores.log_softmax(dim=1), hidden

        return search(step, memory.begin, output.limits, width, self.length_penalty)

    def answers(self, output: TranslationOutput) -> np.ndarray:
        """Return object [B, 3]: each text's translation, the loss of the right one, and in how many words."""
        best = self.translate(output, self.scoring_width).ids[:, 0].tolist()
        losses = [] if output.losses is None else output.losses.tolist()
        told = [] if output.told is None else output.told.tolist()
        return as_answers([self.words.text(ids) for ids in best], losses, told)

    def predictions(self, output: TranslationOutput, batch: Batch, top_k: int | None = None) -> list[dict[str, Any]]:
        """Return each text's translation and its probability; asked for ``top_k``, so many, of those in the beam."""
        found = self.translate(output, self.beam_size)
        answers = []
        for ids, logs in zip(found.ids.tolist(), found.log_probabilities.double().exp().tolist(), strict=True):
            pairs = [
                {"text": self.words.text(row), "probability": value} for row, value in zip(ids, logs, strict=True)
            ]
            answer: dict[str, Any] = {"translation": pairs[0]["text"], "probability": pairs[0]["probability"]}
            if top_k is not None:
                answer["candidates"] = [pair for pair in pairs if pair["probability"] > 0][:top_k]
            answers.append(answer)
        return answers

    def scores(self) -> TranslationScores:
        """Return a fresh counter of translations."""
        return TranslationScores(self.words)

    def baselines(self) -> Mapping[str, Baseline]:
        """Return the text itself, and the translation of the most similar text of training."""
        return {"copy": CopyBaseline(), "nearest": NearestBaseline(self.words)}
