"""Head ``tagging``: one tag a token, such as its part of speech or its place in a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.baselines import Baseline
from rnntext.contracts import UNKNOWN_ID, Annotations, Batch, Encoded, Example, HeadOutput, Reads
from rnntext.errors import DataError, suggest
from rnntext.heads.crf import Crf
from rnntext.heads.dropout import Dropout
from rnntext.metrics import TagScores
from rnntext.schemes import Conversion, Scheme, TagSet, all_tags, split_tag
from rnntext.tag_baselines import CrfsuiteBaseline, MostFrequentTagBaseline, crfsuite_installed

OwnScheme = Literal["data", "io", "bio", "bioes", "biluo"]
MOST_READ_THE_SAME = 64
"""How many times as many sequences as asked for are looked through, where some read the same to the user."""


@dataclass(slots=True)
class TaggingOutput(HeadOutput):
    """Logits float [B, T, L], with what decoding them needs of the batch."""

    lengths: Tensor = field(kw_only=True)
    """int64 [B]."""
    unknown: Tensor = field(kw_only=True)
    """Bool [B, T], True where the vocabulary does not know the token."""


class TaggingHead(nn.Module):
    """Scores every tag at every token, each alone or, as a CRF, in the light of its neighbours.

    Choose it for parts of speech, named entities, slots: whenever labels belong to tokens or to runs of them.

    Args:
        input_dim: width D of the encoder's states.
        labels: what ``learn_labels`` returned.
        crf: whether a sequence of tags is scored as a whole, moves that the scheme forbids being ruled out: better
            spans, and a little slower. For parts of speech it brings next to nothing.
        scheme: in which the network tags; data means as the data do. bioes tells first, inner, last and only
            tokens of a span apart, and often scores better; io makes one span of neighbours of one type. Answers are
            in the scheme of the data in any case.
        dropout: share of each state's numbers dropped in training.
    """

    contract = 1
    metrics: Mapping[str, Literal["larger", "smaller"]] = {
        "span_f1": "larger",
        "span_precision": "larger",
        "span_recall": "larger",
        "span_macro_f1": "larger",
        "token_accuracy": "larger",
        "unknown_accuracy": "larger",
        "macro_f1": "larger",
    }
    hides: ClassVar[frozenset[Reads]] = frozenset()
    why_hidden = ""
    cuts_long_texts = False
    points_at_tokens = True
    refused_options: ClassVar[Mapping[str, str]] = {
        "pooling": "tagging reads every state, so there is nothing to pool; it belongs to classification",
    }

    def __init__(
        self,
        *,
        input_dim: int,
        labels: Mapping[str, Any],
        crf: bool = False,
        scheme: OwnScheme = "data",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    ) -> None:
        super().__init__()
        self.data_tags = TagSet(labels["tags"], labels["scheme"])
        own_scheme: Scheme = labels["scheme"] if scheme == "data" else scheme
        if labels["scheme"] == "none" and scheme != "data":
            raise DataError(
                f'head.scheme = "{scheme}" is for spans, and these tags are none (dataset.scheme = "none"); '
                'write "data", or state the scheme that the data have'
            )
        own = labels["tags"] if labels["scheme"] == "none" else all_tags(self.data_tags.types, own_scheme)
        self.tags = TagSet(own, own_scheme)
        self.to_own = Conversion(self.data_tags, self.tags)
        self.to_data = Conversion(self.tags, self.data_tags)
        spans = bool(self.data_tags.types)
        left_out = ("macro_f1",) if spans else ("span_",)
        self.metrics = {name: way for name, way in self.metrics.items() if not name.startswith(left_out)}
        # float [L, L], 1 for those of the head's own tags that the data write alike: B and S of bioes are B in bio.
        written = np.arange(len(own))
        if self.to_data.changes:
            places, prefixes = self.to_data.numbers, [split_tag(tag, own_scheme)[0] for tag in own]
            written = np.array([places[n, int(p in "BS"), int(p in "ES")] for n, p in enumerate(prefixes)])
        self.alike = (written[:, None] == written).astype(np.float64)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(input_dim, len(self.tags))
        self.crf = Crf(self.tags.allowed) if crf else None

    @classmethod
    def needs(cls, options: Mapping[str, Any]) -> frozenset[Annotations]:
        """Return that texts must have tags; to be written in another scheme, these must be parts of spans."""
        return frozenset({"tags"}) if options["scheme"] == "data" else frozenset({"tags", "spans"})

    @classmethod
    def why_whole(cls, options: Mapping[str, Any]) -> str | None:
        """Return why texts must be read whole; see ``contracts``."""
        return "tagging reads both directions of every token at once"

    @classmethod
    def learn_labels(cls, examples: Iterable[Example]) -> dict[str, Any]:
        """Return the tags in order, how often each occurs, and their scheme; of spans, every tag that they can have.

        Raises:
            DataError: a text has no tags, or there is no tag to learn.
        """
        counts: Counter[str] = Counter()
        schemes: set[Any] = set()
        for example in examples:
            if not isinstance(example.label, tuple) or example.scheme is None:
                raise DataError(
                    "this text has no tags; tagging learns from tags, one a token (dataset types conll, conllu), or "
                    "from spans in characters (jsonl with spans_field)",
                    line=example.line,
                )
            schemes.add(example.scheme)
            counts.update(example.label)
        if len(schemes) > 1:
            raise DataError(f"the texts have tags of several schemes: {', '.join(sorted(schemes))}; state one")
        if not counts:
            raise DataError("no text of the training split has a token; there is nothing to learn")
        (scheme,) = schemes
        if scheme == "none":
            names = sorted(counts)
        else:
            types = {split_tag(tag, scheme)[1] for tag in counts} - {""}
            names = all_tags(sorted(types), scheme)
        if len(names) < 2:
            raise DataError(
                f"all {counts.total():,} tokens of the training split have the tag {names[0]!r}; there is nothing to "
                "learn. Check the column of the labels"
            )
        return {"tags": names, "counts": {name: counts[name] for name in names}, "scheme": scheme}

    @classmethod
    def encode_targets(cls, example: Example, labels: Mapping[str, Any], num_tokens: int) -> Sequence[int]:
        """Return the id of each token's tag; [-1] for a text without tokens, which teaches nothing.

        Raises:
            DataError: the text has no tags, one tag too many or too few, or one that the training split has not.
        """
        given = example.label
        if not isinstance(given, tuple):
            raise DataError("this text has no tags", line=example.line)
        if not given:
            return [-1]
        if len(given) != num_tokens:
            raise DataError(f"{num_tokens} tokens have {len(given)} tags; give each token one", line=example.line)
        ids = {name: number for number, name in enumerate(labels["tags"])}
        try:
            return [ids[tag] for tag in given]
        except KeyError as error:
            (unknown,) = error.args
            names = [name for name in labels["tags"] if labels["counts"][name]]
            shown = f"{', '.join(names[:20])}{' …' if len(names) > 20 else ''}"
            place = given.index(unknown)
            where = f"token {place + 1} of the text" + (f", {example.tokens[place]!r}," if example.tokens else "")
            raise DataError(
                f"the tag {unknown!r} of {where} does not occur in the training split.{suggest(unknown, names)} Tags "
                f"there: {shown}. Correct it, or give the training split an example of it",
                line=example.line,
            ) from None

    def forward(self, encoded: Encoded, batch: Batch) -> TaggingOutput:
        """Return float [B, T, L] logits in the head's own scheme, and the loss where the batch has targets.

        The loss is the sum over a text's tokens of the negative log probability of their tags (as a CRF: of the whole
        sequence), averaged over texts.
        """
        logits: Tensor = self.output(self.dropout(encoded.states))
        if logits.dtype == torch.bfloat16:  # a loss sums many numbers
            logits = logits.float()
        loss = None if batch.targets is None else self._loss(logits, batch.targets)
        return TaggingOutput(logits, loss, lengths=batch.lengths, unknown=batch.token_ids == UNKNOWN_ID)

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.to_own.changes:
            targets = torch.from_numpy(self.to_own(targets.cpu().numpy())).to(targets.device)
        if self.crf is None:
            total = nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum"
            )
            return total / len(logits)
        lengths = (targets >= 0).sum(dim=1)
        tagged = lengths > 0
        if not bool(tagged.all()):  # texts without tokens
            logits, targets, lengths = logits[tagged], targets[tagged], lengths[tagged]
        losses = self.crf.loss(logits[:, : targets.shape[1]], targets, lengths)
        return (losses.sum() / len(tagged)).to(logits.dtype)

    def answers(self, output: TaggingOutput) -> np.ndarray:
        """Return int32 [B, T, 2]: the tag of each token as the data have it, 1 if it is unknown; -1 at padding."""
        paths = self._paths(output)
        unknown = np.where(paths < 0, -1, output.unknown.cpu().numpy())
        return np.stack([self._as_data(paths), unknown], axis=2).astype(np.int32)

    def predictions(self, output: TaggingOutput, batch: Batch, top_k: int | None = None) -> list[dict[str, Any]]:
        """Return tokens with tags, their probabilities and places in the text, and the spans that the tags make.

        A probability is that of the token's tag over all sequences (of a CRF: the marginal). Where the head's scheme
        is not the data's, it is that of all the head's own tags which the data write alike: exact if the head's is
        the finer of the two and the sequence is not broken, as a CRF's never is. ``top_k`` adds, under ``paths``,
        the most probable sequences of tags as a whole, each at least as probable as it says.
        """
        paths = self._paths(output)
        shares = self._probabilities(output)
        if self.to_data.changes:
            shares = shares @ self.alike
        of_paths = np.take_along_axis(shares, paths.clip(min=0)[:, :, None], axis=2)[:, :, 0]
        tag_ids = self._as_data(paths)
        spans = self.data_tags.spans_of(tag_ids)
        several = None if top_k is None else self._several(output, top_k)
        names, answers = self.data_tags.tags, []
        for row, (text, offsets) in enumerate(zip(batch.texts, batch.offsets, strict=True)):
            ids = tag_ids[row, : len(offsets)].tolist()
            answer: dict[str, Any] = {
                "tokens": [
                    {"text": text[start:end], "start": start, "end": end, "tag": names[number], "probability": share}
                    for (start, end), number, share in zip(offsets, ids, of_paths[row].tolist(), strict=False)
                ],
                "spans": [],
            }
            for first, last, label in spans[row] if offsets else ():
                start, end = offsets[first][0], offsets[last - 1][1]
                answer["spans"].append({"label": label, "start": start, "end": end, "text": text[start:end]})
            if several is not None:
                answer["paths"] = several[row] if offsets else []
            answers.append(answer)
        return answers

    @classmethod
    def join(cls, answers: Sequence[Mapping[str, Any]], starts: Sequence[int]) -> dict[str, Any]:
        """Return one answer of a text from those of its sentences, which start at these characters of it.

        ``sentences`` holds the numbers of tokens at which a sentence begins.
        """
        joined: dict[str, Any] = {"tokens": [], "spans": [], "sentences": []}
        for answer, start in zip(answers, starts, strict=True):
            joined["sentences"].append(len(joined["tokens"]))
            for key in ("tokens", "spans"):
                joined[key] += [
                    {**each, "start": each["start"] + start, "end": each["end"] + start} for each in answer[key]
                ]
        return joined

    def _several(self, output: TaggingOutput, count: int) -> list[list[dict[str, Any]]]:
        """Return each text's most probable sequences of tags, the best first."""
        crf = self.crf or _independent(output.logits, self.tags)
        logits, lengths = output.logits.detach(), output.lengths
        several = []
        for row, paths in enumerate(crf.best_paths(logits, lengths, count)):
            found, wanted = self._distinct(paths), count
            # In the scheme of the data, some may read the same: look further, within reason.
            while len(found) < count and len(paths) == wanted < MOST_READ_THE_SAME * count:
                wanted *= 2
                (paths,) = crf.best_paths(logits[row : row + 1], lengths[row : row + 1], wanted)
                found = self._distinct(paths)
            several.append(found[:count])
        return several

    def _distinct(self, paths: Sequence[tuple[list[int], float]]) -> list[dict[str, Any]]:
        """Return sequences in the scheme of the data, the probabilities of those that read the same summed."""
        shares: dict[tuple[str, ...], float] = {}
        rows = self._as_data(np.array([ids for ids, _ in paths]))
        for row, (_, probability) in zip(rows.tolist(), paths, strict=True):
            tags = tuple(self.data_tags.tags[number] for number in row)
            shares[tags] = shares.get(tags, 0.0) + probability
        ordered = sorted(shares.items(), key=lambda item: item[1], reverse=True)
        return [{"tags": list(tags), "probability": probability} for tags, probability in ordered]

    def _as_data(self, paths: np.ndarray) -> np.ndarray:
        return self.to_data(paths) if self.to_data.changes else paths

    def _probabilities(self, output: TaggingOutput) -> np.ndarray:
        """Return float [B, T, L]: the probability of each tag at each token."""
        logits = output.logits.detach()
        if self.crf is not None:
            return self.crf.marginals(logits, output.lengths).cpu().numpy()
        probabilities: np.ndarray = logits.double().softmax(dim=2).cpu().numpy()
        return probabilities

    def _paths(self, output: TaggingOutput) -> np.ndarray:
        """Return int64 [B, T]: the tags of each token in the head's own scheme, -1 at padding."""
        logits, lengths = output.logits.detach(), output.lengths
        if self.crf is not None:
            return self.crf.best_path(logits, lengths)
        best: np.ndarray = logits.argmax(dim=2).cpu().numpy()
        best[np.arange(best.shape[1]) >= lengths.cpu().numpy()[:, None]] = -1
        return best

    def scores(self) -> TagScores:
        """Return a fresh counter of the tags' scores, and of the spans' if there are any."""
        return TagScores(self.data_tags)

    def baselines(self) -> Mapping[str, Baseline]:
        """Return each word's most frequent tag, and where it is installed CRFsuite with hand-made features."""
        count = len(self.data_tags)
        baselines: dict[str, Baseline] = {"most_frequent": MostFrequentTagBaseline(num_tags=count)}
        if crfsuite_installed():
            baselines["crfsuite"] = CrfsuiteBaseline(num_tags=count)
        return baselines


def _independent(logits: Tensor, tags: TagSet) -> Crf:
    """Return the CRF of tags that do not depend on their neighbours, so that its best paths are softmax's."""
    return Crf(np.ones((len(tags) + 1, len(tags) + 1), dtype=bool)).to(logits.device)
