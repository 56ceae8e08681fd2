"""What a part of rnntext takes and gives: the whole plugin surface on one page.

A text flows through six kinds of part, each found by name in the registry::

    dataset -> tokenizer -> vocabulary -> embedding -> encoder -> head
Letters used everywhere: B examples, T tokens (longest in the batch), E embedding width, H hidden width per direction,
D encoder output width (2H if bidirectional, else H), V words, L labels, S targets an example (longest in the batch).

What every part promises, besides the methods of its kind:
- ``contract = 1``: the version of this page that the class was written for.
- Its constructor is keyword-only and annotated, without ``*args`` or ``**kwargs``. The arguments that
  a kind *wires* (``WIRED`` below) come from its neighbours; every other one is a recipe option, and
  its annotation is the schema: ``Annotated[float, Field(ge=0, lt=1)]``, ``Literal["a", "b"]``, ``FilePath``.
- It may define ``check_options(cls, options)``, a class method that yields ``(key, reason)`` for each
  combination of options that cannot work. It sees every option, defaults filled in, before data are read.
- An embedding may define ``begin()``, called once before training and never when a model is loaded, to fill its
  weights from elsewhere; and ``covers(types)``, bool [types], which raw tokens it has a vector for.
- An embedding or a head may define ``begin_from(batches)``, called likewise, after ``begin``, with one lazy pass over
  the training split, targets included: to start weights from counts. Nothing is read if it does not ask for a batch.
- A module with a large table of which a batch reads few rows may have an attribute ``before_reading``, None at first.
  Training may set it to a function, when it means to update those rows alone: call it with the rows that are about to
  be read, int64 of any shape, then give the parameter ``weight``, the table, a sparse gradient. The function is None
  again when training is over, and nothing else may depend on it.
- A tokenizer may define ``first(text, count)``, the first ``count`` of its tokens: all that is read of a cut text.
- A tokenizer may learn where to cut: ``fit(texts)`` is then called once, before any text is cut, with one lazy pass
  over those texts of the training split, whole, that bring no tokens (there is one at least). Its ``to_json`` and
  ``from_json``, as of a vocabulary, keep what it learnt in the run folder: the tokenizer that cuts is always one
  that took back what a fitted one gave.
- A token may begin or end with white space, so that its place in a word is known; what users are told of it (offsets,
  spans) leaves that out.
- A dataset may keep ``notes``, a dict of what -> count, of what ``read`` passed over. Its options ``train``, ``test``
  and ``group_fields``, where it has them, mean the same as everywhere: ``evaluate RUN FILE`` sets ``test``.
- A dataset's class method ``gives(options)`` and a head's ``needs(options)`` are sets of ``Annotations``, {"labels"}
  unless defined; a head that needs what the data do not give is refused.
- An encoder may have an attribute ``chunk_tokens`` and a method ``in_pieces(embed, lengths, state=None)`` ->
  ``Pieces``, for batches with longer texts: ``embed(rows, positions)`` gives float [b, t, E] of some tokens. A head
  that takes ``Pieces`` in the place of ``Encoded`` has a class method ``why_whole(options)``: None, or the reason why
  with these options it needs whole texts.
- A head may set ``points_at_tokens = True``: at prediction its batches then bring ``texts`` and ``offsets``. A class
  method ``join(answers, starts)`` of it makes one answer of a text from those of its sentences, at int ``starts``.
- A head may name ``vocabulary`` and ``embeddings`` (the list of the model's) among its constructor's arguments: they
  are wired then. It may keep an embedding's ``weight`` as a parameter of its own: tied, and stored once.
- A head may define ``conceal(batch)`` -> Batch: what the embeddings and the encoder get to read in its place, such as
  the same texts with tokens hidden; its ``targets`` are those that the head is called with.
- A head that sets ``fills_blanks = True`` says what stands at the ``____`` of a text: each is one token, ``BLANK``,
  for which the vocabulary keeps a row. Its targets are tokens: ``encode_targets`` returns strings, to be looked up,
  with None between groups. Texts of the validation and test splits without a ``____`` are cut by the dataset's
  ``cut_blanks(counts, random)``: from int64 [tokens], how often each token's word occurs in training (0: unknown to
  the vocabulary), it returns the positions to hide; [] leaves the text out.
- A dataset whose attribute ``windows`` is (num_steps, "random" or "sequential") is one stream of tokens a split: its
  texts follow on from one another, and are read in windows, whose targets are the tokens that come next, by a head
  that sets ``reads_windows = True``. Splits that it does not give are cut off its end. It says so in ``gives``.
- A head may define ``next_token(states)``: of float [b, D], float [b, V] log probabilities of the token that follows,
  for ``rnntext generate``.
- An option ``allow_leak`` of a head lets an encoder read what the head ``hides``; every figure is then marked.
- A head may define ``assumed(tokens, number)``, a class method: a made-up Example of these tokens, the number-th, to
  describe a recipe whose data are not there. Unless defined, it has a label or tags, as the head needs.
- An instance of a head may have ``units``: what the metric of a name is counted in or per.
- An instance of a head may have ``gives``: in words, with shape, what its logits come to, for ``rnntext describe``.
- An encoder may have an attribute ``kernel``: in words what computes it on a CPU, for ``rnntext describe``.
- It may define ``refused_options``: a mapping of option names that people try to the reason against them.

This module imports no torch, so that reading metadata stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from rnntext.baselines import Baseline
    from rnntext.metrics import Scores

CONTRACT = 1

WIRED: Mapping[str, frozenset[str]] = {
    "datasets": frozenset(),
    "tokenizers": frozenset(),
    "vocabularies": frozenset(),
    "embeddings": frozenset({"vocabulary"}),
    "encoders": frozenset({"input_dim"}),
    "heads": frozenset({"input_dim", "labels"}),
}
"""The constructor arguments of each kind that rnntext fills in; all others are recipe options."""

WIRED_ON_REQUEST: Mapping[str, frozenset[str]] = {"heads": frozenset({"vocabulary", "embeddings"})}
"""Likewise, if a constructor names them."""

KINDS = tuple(WIRED)

PAD_ID, UNKNOWN_ID = 0, 1
"""Ids of ``<pad>`` and ``<unk>`` in every vocabulary."""
BLANK = "<blank>"
"""The token that stands for a hidden one, of heads that set ``fills_blanks``."""
MARK = "____"
"""How it is written in texts; a longer run of underscores is one blank, too."""


class _FileMarker: ...


class _FileOrNameMarker: ...


FilePath = Annotated[str, _FileMarker]
"""A path: relative to the recipe that names it (to the current folder in ``--set``); must exist."""
FileOrName = Annotated[str, _FileOrNameMarker]
"""A path like ``FilePath`` if there is such a file or folder; otherwise a name, left as it is."""

Split = Literal["train", "validation", "test"]
Annotations = Literal["labels", "tags", "spans", "windows", "sequence"]
"""Labels of whole texts; tags, one a token; tags that are parts of spans; windows of a stream; these in sequence. A
package's dataset and head may agree on another word, for what is none of these."""
Reads = Literal["future", "own_token"]
"""What may reach the state at a token although a task must hide it.

``future``: tokens to its right. ``own_token``: the token itself, by way of its neighbours' states (from the second
layer on, where a layer reads both directions of the one below)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled or unlabelled text, as a dataset reads it."""

    text: str
    tokens: tuple[str, ...] | None = None
    """Tokens, where the data bring their own; otherwise the recipe's tokenizer cuts ``text``."""
    label: str | tuple[str, ...] | None = None
    """One label; or a tuple: several labels of the text, or with a ``scheme`` one tag a token."""
    scheme: str | None = None
    """What the tags of ``label`` say of spans, one of ``rnntext.schemes.Scheme``; None where it holds no tags."""
    spans: tuple[tuple[int, int, str], ...] | None = None
    """(start, end, label), in characters, in the place of ``label``: turned into tags once the text is tokenized."""
    choices: tuple[tuple[str, ...], ...] | None = None
    """Of a text with blanks: what each may be filled with; ``label`` is then the answer, or a tuple of them."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Other columns of the row that somebody asked for, such as ``group_fields``."""
    origin: str | None = None
    """What it was made from, such as a sentence that has several translations: examples of one origin are never
    parted by a split that is drawn. None: it shares its origin with no other."""
    line: int = 0
    """Line of the source file (1 is the first), for error messages; 0 where there is none."""


@dataclass(slots=True)
class Batch:
    """Texts padded to one length: what embeddings read, and heads beside the encoded texts."""

    token_ids: Tensor
    """int64 [B, T], vocabulary ids, 0 (``<pad>``) after a text's last token."""
    lengths: Tensor
    """int64 [B], tokens in each text, each from 1 to T."""
    targets: Tensor | None = None
    """int64 [B, S], what the head made of the labels, -1 after the last; None at prediction."""
    type_ids: Tensor | None = None
    """int64 [B, T], positions in ``types``; -1 at padding."""
    types: Sequence[str] = ()
    """Distinct raw tokens, as they stand in the texts; the first is "", which stands for a text without tokens."""
    rows: np.ndarray | None = None
    """int64 [B], which examples of the split these are."""
    goes_on: bool | None = None
    """Of windows: whether each row follows on from the same row of the batch before; None of whole texts."""
    texts: Sequence[str] = ()
    """The B texts, untouched, and ``offsets``: at prediction, for a head that sets ``points_at_tokens``."""
    offsets: Sequence[Sequence[tuple[int, int]]] = ()
    """(start, end) in its text of each token, in characters, without white space at its edges; [] for no tokens."""
    choices: Sequence[tuple[tuple[str, ...], ...] | None] = ()
    """Likewise, what the blanks of each text may be filled with."""

    @property
    def mask(self) -> Tensor:
        """Bool [B, T], True at real tokens."""
        import torch

        positions = torch.arange(self.token_ids.shape[1], device=self.lengths.device)
        return positions[None, :] < self.lengths[:, None]

    def tokens_at(self, rows: Tensor, positions: Tensor) -> Batch:
        """Return the tokens at int64 [b, t] positions of texts int64 [b], as a batch of their own without targets."""
        import torch

        return Batch(
            token_ids=self.token_ids[rows[:, None], positions],
            lengths=torch.full_like(rows, positions.shape[1]),
            type_ids=None if self.type_ids is None else self.type_ids[rows[:, None], positions],
            types=self.types,
            rows=None if self.rows is None else self.rows[rows.cpu().numpy()],
        )


State = tuple["Tensor", ...]
"""float [B, layers x directions, H] each: ``(h,)``, or ``(h, c)`` for an LSTM."""


class Encoded:
    """What an encoder has read.

    Attributes:
        states: float [B, T, D], one vector a token, zero at padding; forward half first.
        final: float [B, D]; the last real token read forwards, then the first token read backwards.
        state: every layer and direction, B first, to carry on from; None where it cannot be. Worked
            out when first asked for, since most heads never ask.
        from_end: which of the D columns have read a text from its end down to the token; all others have read
            nothing after it. None where both meet, or nobody said.
    """

    def __init__(
        self,
        states: Tensor,
        final: Tensor,
        state: State | Callable[[], State] | None = None,
        from_end: slice | None = None,
    ) -> None:
        self.states = states
        self.final = final
        self.from_end = from_end
        self._state = state

    @property
    def state(self) -> State | None:
        """Every layer and direction, to pass as ``state`` with the text's next piece; ask before weights change."""
        if callable(self._state):
            self._state = self._state()
        return self._state


@dataclass(frozen=True, slots=True)
class Piece:
    """Some tokens of some texts of a batch, read by one direction of an encoder."""

    rows: Tensor
    """int64 [b], which texts of the batch these are."""
    positions: Tensor
    """int64 [b, t], where in its text each token stands; 0 at padding."""
    columns: slice
    """Which of the D numbers of a state are here."""
    states: Tensor
    """float [b, t, width of columns]; anything at padding."""
    mask: Tensor
    """Bool [b, t], True at real tokens."""


class Pieces:
    """What an encoder reads of texts too long to be held whole: pieces, once, and then ``final`` and ``state``.

    All columns of every token come by in some piece, a text's tokens from its start or from its end.

    Args:
        read: yields the pieces and sets the attributes below on what it is given.
    """

    final: Tensor
    """float [B, D], as in ``Encoded``; there once all pieces have been read."""
    state: State | None = None

    def __init__(self, read: Callable[[Pieces], Iterator[Piece]]) -> None:
        self._pieces = read(self)

    def __iter__(self) -> Iterator[Piece]:
        return self._pieces


@dataclass(slots=True)
class HeadOutput:
    """What a head makes of encoded texts."""

    logits: Tensor
    """float, of a shape that the head chooses: [B, L] for classification."""
    loss: Tensor | None = None
    """float scalar, mean over the texts of the batch, so that means of batches add up; None without targets."""
    count: int | None = None
    """Of how many things the loss is the mean instead, such as tokens; None: of the texts."""


class Part(Protocol):
    """Every part of every kind."""

    contract: ClassVar[int]


@runtime_checkable
class Dataset(Part, Protocol):
    """Reads labelled texts, one split at a time, without holding them in memory."""

    def splits(self) -> tuple[Split, ...]:
        """Return the splits that the options name, ``train`` first."""

    def files(self, split: Split) -> tuple[str, ...]:
        """Return the local files behind a split, for digests and error messages; may be empty."""

    def read(self, split: Split) -> Iterator[Example]:
        """Yield the split's examples in file order; raise DataError with file and line at a fault."""


@runtime_checkable
class Tokenizer(Part, Protocol):
    """Cuts a text into tokens. Never changes, lower-cases or drops anything but white space."""

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text: slices of it, in order; [] for a blank text."""

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the same tokens, in characters: ``text[start:end]`` is the token."""


@runtime_checkable
class Vocabulary(Part, Protocol):
    """Maps tokens to ids. Id 0 is ``<pad>``, 1 is ``<unk>``. Owns lower-casing and normalisation."""

    def fit(self, counts: Mapping[str, int]) -> None:
        """Learn from the raw tokens of the training split and how often each occurs."""

    def normalize(self, token: str) -> str:
        """Return the form under which a raw token is looked up."""

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the id of each raw token, 1 (``<unk>``) for a token that is not known."""

    def __len__(self) -> int:
        """Return the number of ids, special ones included."""

    def token(self, token_id: int) -> str:
        """Return the token of an id."""

    def to_json(self) -> dict[str, Any]:
        """Return all that was learnt, as JSON-able values."""

    def from_json(self, values: dict[str, Any]) -> None:
        """Take back what ``to_json`` gave."""


@runtime_checkable
class Embedding(Part, Protocol):
    """An ``nn.Module`` that turns token ids into vectors."""

    output_dim: int

    def __call__(self, batch: Batch) -> Tensor:
        """Return float [B, T, E]; what stands at padding is ignored."""


@runtime_checkable
class Encoder(Part, Protocol):
    """An ``nn.Module`` that reads each token in the light of others."""

    output_dim: int

    @classmethod
    def reads(cls, options: Mapping[str, Any]) -> frozenset[Reads]:
        """Return what a state may have read with these options (all of them, defaults filled in)."""

    def __call__(self, embedded: Tensor, lengths: Tensor, state: State | None = None) -> Encoded:
        """Read float [B, T, E] with int64 [B] lengths. Padding and neighbours never change a result."""


@runtime_checkable
class Head(Part, Protocol):
    """An ``nn.Module`` for one task. It owns targets, loss, metrics, baselines and predictions."""

    metrics: ClassVar[Mapping[str, Literal["larger", "smaller"]]]
    """Names of its scores, each with its better direction, the first the default; an instance may lack some."""
    hides: ClassVar[frozenset[Reads]]
    """What must not reach a state; a recipe whose encoder ``reads`` it is refused."""
    why_hidden: ClassVar[str]
    """The reason, completed to a sentence in the error: '... under next_token: ' + why_hidden."""
    cuts_long_texts: ClassVar[bool]
    """Whether ``batching.max_tokens`` may cut a text."""

    @classmethod
    def learn_labels(cls, examples: Iterable[Example]) -> dict[str, Any]:
        """Learn from the training split what the targets are; JSON-able, kept as labels.json.

        Raises:
            DataError: the examples cannot be learnt from; ``line`` names the row at fault.
        """

    @classmethod
    def encode_targets(cls, example: Example, labels: Mapping[str, Any], num_tokens: int) -> Sequence[Any]:
        """Return the target ids of one example: one a text, several, one a token, or none. See ``fills_blanks``.

        Raises:
            DataError: the example's label is missing or was not in the training split.
        """

    def __call__(self, encoded: Encoded, batch: Batch) -> HeadOutput:
        """Return logits, and the loss where the batch has targets."""

    def predictions(self, output: HeadOutput, batch: Batch, top_k: int | None = None) -> list[dict[str, Any]]:
        """Return one JSON-able answer a text, without the text itself."""

    def scores(self) -> Scores:
        """Return a fresh counter of this head's metrics; fed with batches, never holding them all."""

    def answers(self, output: HeadOutput) -> Any:
        """Return what ``Scores.update`` takes from an output: an array on the CPU, one row a text."""

    def baselines(self) -> Mapping[str, Baseline]:
        """Return simple methods, unfitted, that are trained and scored on the same tokens and targets."""
