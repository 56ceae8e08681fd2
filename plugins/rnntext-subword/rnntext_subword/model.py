"""A subword model of Hugging Face ``tokenizers``: learnt from words, the same in every process, kept as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from rnntext.errors import DataError

UNKNOWN = "<unk>"
"""How a model names a character that it has never seen."""
PENALTY = 1e-4
"""What the Unigram trainer sets characters apart by that it keeps although no piece needs them."""
SCORE_DIGITS = 4
"""Decimals of a log probability: sums over words in another order differ from the tenth on."""

ModelName = Literal["bpe", "unigram"]


class PieceModel:
    """Cuts one word, given as a string, into pieces.

    Args:
        values: the tokenizer as ``tokenizers`` writes it, of a BPE or Unigram model and nothing else.

    Raises:
        DataError: it is no such tokenizer.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        from tokenizers import Tokenizer

        try:
            if values["model"]["type"] not in ("BPE", "Unigram"):
                raise ValueError(f"a model of type {values['model']['type']}")
            # A step before the model would move the places of its pieces.
            if values.get("normalizer") or values.get("pre_tokenizer"):
                raise ValueError("a normalizer or pre-tokenizer of its own")
            self._tokenizer: Any = Tokenizer.from_str(json.dumps(values))
        except Exception as error:  # the library raises nothing more precise
            raise DataError(
                f"what the tokenizer subword learnt is damaged, or was written by another: {error}. Copy "
                "tokenizer.json from the original run, or train again"
            ) from None
        self._tokenizer.encode_special_tokens = True  # "<unk>" in a text is five characters
        self.values = values

    def __reduce__(self) -> tuple[Any, ...]:
        return PieceModel, (self.values,)  # the library forgets how special tokens are to be read

    def ends(self, word: str) -> list[int]:
        """Return where each piece of a word ends, in characters, the last at its end."""
        return [end for _, end in self._tokenizer.encode(word, add_special_tokens=False).offsets]


def learn(words: Iterable[list[str]], model: ModelName, vocab_size: int) -> PieceModel:
    """Return a model of the words of many texts: the same whatever process learns it, and on how many cores.

    Args:
        words: those of a text at a time, blanks before them included.
        model: which.
        vocab_size: pieces, the one for unknown characters included; fewer if the words do not have so many.

    Raises:
        DataError: the words have more different characters than ``vocab_size`` has room for.
    """
    from tokenizers import Tokenizer, models, trainers

    trainer: Any
    if model == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=[UNKNOWN], show_progress=False)
    else:
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(
            vocab_size=vocab_size, special_tokens=[UNKNOWN], unk_token=UNKNOWN, show_progress=False
        )
    characters: set[str] = set()

    def noted() -> Iterator[list[str]]:
        for text in words:
            characters.update(*text)
            if len(characters) >= vocab_size:
                raise DataError(
                    f"the training split has more than {vocab_size - 1:,} different characters, so that "
                    f"tokenizer.vocab_size = {vocab_size:,} leaves no room for longer pieces; raise it"
                )
            yield text

    with _one_thread():
        tokenizer.train_from_iterator(noted(), trainer)
    values = json.loads(tokenizer.to_str())
    if model == "unigram":
        values["model"]["vocab"] = _settled(values["model"]["vocab"])
    return PieceModel(values)


def _settled(pieces: list[list[Any]]) -> list[list[Any]]:
    """Return (piece, log probability) pairs without what depends on the order in which a process met the words.

    The trainer sums in the order of a hash table, which differs from process to process: the last digits do, and so
    does which of the rarest characters gets which of the scores that stand ``PENALTY`` apart. All of those get the
    lowest.
    """
    (unknown, zero), *others = pieces
    lowest = min(score for _, score in others)
    rarest = sum(len(piece) == 1 for piece, _ in others)

    def settled(piece: str, score: float) -> float:
        steps = (score - lowest) / PENALTY
        if len(piece) == 1 and steps < rarest and abs(steps - round(steps)) < 1e-4:
            score = lowest
        return round(score, SCORE_DIGITS)

    found = [[piece, settled(piece, score)] for piece, score in others]
    return [[unknown, zero], *sorted(found, key=lambda pair: (-pair[1], pair[0]))]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep ``tokenizers`` to one thread, and put back what was said of it."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
