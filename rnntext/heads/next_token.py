"""Head ``next_token``: a language model, which reads from one end and tells each token from those before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.baselines import Baseline
from rnntext.contracts import PAD_ID, UNKNOWN_ID, Annotations, Batch, Encoded, Example, HeadOutput, Reads, Vocabulary
from rnntext.heads.dropout import Dropout
from rnntext.heads.softmax import Softmax, WordSoftmax, candidates_of, count_tokens, word_weight
from rnntext.metrics import LanguageScores
from rnntext.ngram_baselines import NgramBaseline

WORD_ORDERS, CHARACTER_ORDERS = (1, 2, 3), (1, 3, 6)
"""Of the n-grams beside the network: how many tokens they look at, the one that they tell included."""


@dataclass(slots=True)
class NextTokenOutput(HeadOutput):
    """Logits float [B, T, E]: the vectors that are compared with those of the words."""

    losses: Tensor = field(kw_only=True)
    """float [B, T], minus the log probability of the token after each; NaN where none is told."""
    unknown: Tensor = field(kw_only=True)
    """Bool [B, T], whether that token is one that the vocabulary does not know."""
    characters: Tensor = field(kw_only=True)
    """int64 [B, T], characters that it stands for, a blank between words included."""


class NextTokenHead(nn.Module):
    """Tells each token from those before it: how probable a text is, and how it may go on.

    Choose it to generate text, to measure how well it is told (perplexity), or to train an encoder and its embeddings
    on texts without labels (training.init_from). The first token of a text or stream is not told.

    Args:
        input_dim: width D of the encoder's states.
        labels: not used; what is to be told are tokens.
        vocabulary: the tokens.
        embeddings: whose table of words is used for the output, too.
        tied: whether the tokens' vectors are those of the embedding: fewer weights, and better with many words.
        softmax: over the whole vocabulary, or in two steps (adaptive): the more words, the quicker; auto decides.
        carry_state: whether the state is carried on from window to window where they are in sequence; without, each
            begins from zero. Unset, it is carried on wherever it can be.
        backwards: read each text from its end: the other half of a start for a bidirectional encoder.
        dropout: share of each state's numbers dropped in training.
        allow_leak: for teaching: let the encoder read the future. Every figure is then marked.

    Source:
        Mikolov et al. (2010), Recurrent neural network based language model; tied weights: Press and Wolf (2017).
    """

    contract = 1
    metrics: Mapping[str, Literal["larger", "smaller"]] = {
        "perplexity": "smaller",
        "bits_per_character": "smaller",
        "unknown_rate": "smaller",
    }
    hides: ClassVar[frozenset[Reads]] = frozenset({"future"})
    why_hidden = (
        "the token that is to be told stands there already, so the perplexity would be near 1 and the text that is "
        "generated useless. Set encoder.bidirectional = false; to fill in words from both sides, head.type = "
        '"fill_blank"; to see what goes wrong, head.allow_leak = true'
    )
    cuts_long_texts = True
    reads_windows = True
    refused_options: ClassVar[Mapping[str, str]] = {
        "pooling": "next_token reads every state, so there is nothing to pool; it belongs to classification",
    }

    def __init__(
        self,
        *,
        input_dim: int,
        labels: Mapping[str, Any],
        vocabulary: Vocabulary,
        embeddings: Sequence[nn.Module],
        tied: bool = True,
        softmax: Softmax = "auto",
        carry_state: bool | None = None,
        backwards: bool = False,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        allow_leak: bool = False,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.backwards = backwards
        # Windows come in the order of the text: read from their ends, none goes on from the one before.
        self.carry_state = False if backwards else carry_state
        self.dropout = Dropout(dropout)
        self.words = WordSoftmax(word_weight(embeddings, len(vocabulary), input_dim, tied), softmax)
        self.gives = f"log probabilities float [B, T, V {len(vocabulary):,}], {self.words.steps}"
        width = self.words.weight.shape[1]
        self.project = nn.Linear(input_dim, width) if width != input_dim else nn.Identity()
        self.by_character = all(len(vocabulary.token(number)) == 1 for number in range(2, len(vocabulary)))
        unit = "character" if self.by_character else "token"
        self.units = {"perplexity": f"per {unit}", "bits_per_character": "blanks between words included"}

    @classmethod
    def needs(cls, options: Mapping[str, Any]) -> frozenset[Annotations]:
        """Return that a state that must be carried on needs windows in sequence; texts need no labels."""
        return frozenset({"sequence"}) if options["carry_state"] else frozenset()

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """Yield (key, reason) for each combination that cannot work."""
        if options["backwards"] and options["carry_state"]:
            yield "carry_state", "windows come in the order of the text, and this head reads backwards; leave one out"

    @classmethod
    def learn_labels(cls, examples: Iterable[Example]) -> dict[str, Any]:
        """Return nothing: the vocabulary holds what can be told."""
        return {}

    @classmethod
    def encode_targets(cls, example: Example, labels: Mapping[str, Any], num_tokens: int) -> Sequence[int]:
        """Return nothing: what is to be told are the text's own tokens."""
        return []

    def begin_from(self, batches: Iterable[Batch]) -> None:
        """Start each token at its share of the training split."""
        self.words.start_from(count_tokens(batches, len(self.vocabulary)))

    def conceal(self, batch: Batch) -> Batch:
        """Return the batch as it is read, with the token after each as its targets, -1 where there is none."""
        if self.backwards:
            steps = torch.arange(batch.token_ids.shape[1], device=batch.lengths.device)
            order = torch.where(batch.mask, batch.lengths[:, None] - 1 - steps, steps)  # [B, T]
            type_ids = None if batch.type_ids is None else batch.type_ids.gather(1, order)
            batch = replace(batch, token_ids=batch.token_ids.gather(1, order), type_ids=type_ids, targets=None)
        if batch.targets is not None and batch.targets.shape[1]:  # windows know what comes after their last token
            return batch
        following = nn.functional.pad(batch.token_ids[:, 1:], (0, 1), value=PAD_ID)
        return replace(batch, targets=torch.where(following == PAD_ID, -1, following))

    def forward(self, encoded: Encoded, batch: Batch) -> NextTokenOutput:
        """Return what is compared with the words, float [B, T, E], and the mean loss of the tokens that are told."""
        vectors: Tensor = self.project(self.dropout(encoded.states))
        targets = batch.targets
        assert targets is not None  # conceal sets them
        rows, places = torch.nonzero(targets >= 0, as_tuple=True)
        told = targets[rows, places]
        losses = self.words.losses(vectors[rows, places], told)
        spread = losses.new_full(targets.shape, torch.nan)
        spread[rows, places] = losses.detach()
        loss = losses.sum() / max(1, len(losses))
        characters = targets if self.training else self._characters(batch)
        return NextTokenOutput(
            vectors, loss, len(losses), losses=spread, unknown=targets == UNKNOWN_ID, characters=characters
        )

    def _characters(self, batch: Batch) -> Tensor:
        """Return int64 [B, T], characters of the token after each.

        A window does not hold the one after its last token: that one is as long as the vocabulary writes it, or as
        the last itself where it is unknown.
        """
        if self.by_character or batch.type_ids is None:
            return torch.ones_like(batch.token_ids)
        numbers, places = torch.unique(batch.type_ids, return_inverse=True)
        lengths = torch.tensor([len(batch.types[number]) + 1 for number in numbers.tolist()], device=places.device)
        own = lengths[places]
        after = own.roll(-1, dims=1)
        rows, lasts = torch.arange(len(own), device=own.device), batch.lengths - 1
        after[rows, lasts] = own[rows, lasts]
        assert batch.targets is not None
        for row, target in enumerate(batch.targets[rows, lasts].tolist()):
            if target > UNKNOWN_ID:
                after[row, lasts[row]] = len(self.vocabulary.token(target)) + 1
        return after

    def next_token(self, states: Tensor) -> Tensor:
        """Return float [b, V] log probabilities of the token after each of float [b, D] states; <pad>'s is -inf."""
        return self._after(self.project(states))

    def _after(self, vectors: Tensor) -> Tensor:
        logits = self.words.log_probabilities(vectors)
        logits[:, PAD_ID] = -torch.inf
        return logits

    def answers(self, output: NextTokenOutput) -> np.ndarray:
        """Return float64 [B, T, 3]: loss of each token that is told, its characters, 1 if it is unknown; else NaN."""
        losses = output.losses.double().cpu().numpy()
        characters, unknown = output.characters.cpu().numpy(), output.unknown.cpu().numpy()
        answers: np.ndarray = np.stack([losses, characters, unknown], axis=2)
        answers[np.isnan(losses)] = np.nan
        return answers

    def predictions(self, output: NextTokenOutput, batch: Batch, top_k: int | None = None) -> list[dict[str, Any]]:
        """Return each text's perplexity, None if nothing in it is told, and the tokens that may follow, else 5."""
        lasts = output.logits[torch.arange(len(batch.lengths)), batch.lengths.cpu() - 1]
        after = self._after(lasts)
        after[:, UNKNOWN_ID] = -torch.inf  # it stands for no word that could be named
        following = candidates_of(after, self.vocabulary, top_k)
        answers = []
        for row, losses in enumerate(output.losses.double().cpu().numpy()):
            told = losses[~np.isnan(losses)]
            perplexity = float(np.exp(told.mean())) if len(told) else None
            answers.append({"perplexity": perplexity, "next": following[row]})
        return answers

    def scores(self) -> LanguageScores:
        """Return a fresh counter of losses."""
        return LanguageScores()

    def baselines(self) -> Mapping[str, Baseline]:
        """Return n-grams with back-off; an n-gram tells a token from the n - 1 before it."""
        orders = CHARACTER_ORDERS if self.by_character else WORD_ORDERS
        return {f"{order}-gram": NgramBaseline(order=order, vocabulary=self.vocabulary) for order in orders}
