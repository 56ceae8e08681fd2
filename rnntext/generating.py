"""How a text goes on: token after token, each drawn from those that a language model holds probable."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import torch

from rnntext.contracts import BLANK, PAD_ID, UNKNOWN_ID, Batch, Encoded, State, Tokenizer, Vocabulary
from rnntext.devices import computing_in
from rnntext.errors import UsageError
from rnntext.model import TextModel

TOKENS_A_PIECE = 500
"""Of a prompt, read at once: a long one needs no more memory."""
LAST_TOKENS = 200
"""What is read anew at each step by an encoder without a state to carry on, or one that reads the future."""
_no_blank_before = re.compile(r"[,.!?;:…)\]}”]+|''|n?['’]\w+")
_no_blank_after = re.compile(r"(?:[(\[{“\s]|``)\Z")


def continued(
    model: TextModel,
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    prompt: str,
    length: int,
    *,
    temperature: float,
    top_k: int | None,
    seed: int,
) -> tuple[str, list[str]]:
    """Return a prompt with what follows it, and the tokens of the prompt that the vocabulary does not know.

    Never draws ``<pad>``, ``<unk>`` or ``<blank>``.

    Args:
        model: in evaluation mode; its head has ``next_token``.
        tokenizer: cuts the prompt.
        vocabulary: the tokens.
        prompt: at least one token long.
        length: tokens that are added.
        temperature: what log probabilities are divided by: below 1 the probable becomes more probable, above 1 less;
            0 takes the most probable token each time.
        top_k: draw from the K most probable tokens alone; None: from all.
        seed: of the random numbers.

    Raises:
        UsageError: the model tells no next token, a number is out of range, or the prompt has no tokens.
    """
    _check(model, length, temperature, top_k, seed)
    if not isinstance(prompt, str):
        raise UsageError(f"a prompt is a text, not {type(prompt).__name__}")
    read = tokenizer.tokens(prompt)
    if not read:
        raise UsageError("the prompt has no tokens; give at least one for the text to begin with")
    token_ids = vocabulary.encode(read)
    unknown = [token for token, token_id in zip(read, token_ids, strict=True) if token_id == UNKNOWN_ID]
    never = [PAD_ID, UNKNOWN_ID, *vocabulary.encode([BLANK])]
    random = np.random.default_rng(seed)
    reader = Reader(model)
    added: list[str] = []
    for _ in range(length):
        log_probabilities = reader.read(read, token_ids)
        log_probabilities[never] = -np.inf
        if not np.isfinite(log_probabilities.max()):
            raise UsageError("the model gives no token a probability; its weights or its vocabulary are of no use")
        token_ids = [drawn(log_probabilities, temperature, top_k, random)]
        read = [vocabulary.token(token_ids[0])]
        added += read
    return written(prompt, added, follows_at_once(tokenizer)), unknown


class Reader:
    """Reads a text as it grows, and says after each piece what may follow.

    The state is carried on, so a step costs one token. Where there is none, or the encoder reads the future, the last
    ``LAST_TOKENS`` are read anew.

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self._carries = not model.leaks
        self._state: State | None = None
        self._last: list[tuple[str, int]] = []

    def read(self, tokens: Sequence[str], token_ids: Sequence[int]) -> np.ndarray:
        """Read what comes next in the text; return float64 [V], the log probability of each token after it."""
        pairs = list(zip(tokens, token_ids, strict=True))
        self._last = [*self._last, *pairs][-LAST_TOKENS:]
        with torch.inference_mode(), computing_in(self._model.precision, self._device):
            for start in range(0, len(pairs), TOKENS_A_PIECE) if self._carries else ():
                encoded = self._encoded(pairs[start : start + TOKENS_A_PIECE])
                self._state = encoded.state
                if self._state is None:
                    self._carries = False
                    break
            if not self._carries:
                encoded = self._encoded(self._last)
            logits: torch.Tensor = self._model.head.next_token(encoded.states[:, -1])
        log_probabilities: np.ndarray = logits[0].double().cpu().numpy()
        return log_probabilities

    def _encoded(self, pairs: Sequence[tuple[str, int]]) -> Encoded:
        types = {"": 0}
        type_ids = [types.setdefault(token, len(types)) for token, _ in pairs]

        def tensor(values: list[int]) -> torch.Tensor:
            return torch.tensor(values, device=self._device)

        batch = Batch(
            token_ids=tensor([token_id for _, token_id in pairs])[None],
            lengths=tensor([len(pairs)]),
            type_ids=tensor(type_ids)[None],
            types=list(types),
        )
        return self._model.read(batch, self._state)


def drawn(log_probabilities: np.ndarray, temperature: float, top_k: int | None, random: np.random.Generator) -> int:
    """Return the id of one token, drawn from float64 [V] log probabilities; -inf is never drawn."""
    kept = np.flatnonzero(log_probabilities > -np.inf)
    if top_k is not None:
        kept = np.sort(kept[np.argsort(-log_probabilities[kept], kind="stable")[:top_k]])
    best = log_probabilities[kept]
    if temperature == 0:
        return int(kept[best.argmax()])
    with np.errstate(over="ignore"):  # near 0, all but the best fall to -inf
        shares = np.exp((best - best.max()) / temperature).cumsum()
    # In the order of ids, not of probabilities: two that are nearly alike may not change places by a rounding error.
    return int(kept[np.searchsorted(shares, random.random() * shares[-1], side="right")])


def follows_at_once(tokenizer: Tokenizer) -> bool:
    """Return whether tokens follow on from one another without a blank: characters, or with blanks among them."""
    return "".join(tokenizer.tokens("a b")) == "a b" or tokenizer.tokens("ab") == ["a", "b"]


def written(prompt: str, tokens: Sequence[str], at_once: bool) -> str:
    """Return a prompt, untouched, with tokens after it.

    Unless they follow at once, a blank stands between two, but not before a mark that ends something (, . ! ? ; : and
    closing brackets), nor before 's or n't, nor after an opening bracket. Straight quotation marks open and close
    alike, so they keep their blanks.
    """
    if at_once:
        return prompt + "".join(tokens)
    parts = [prompt]
    for token in tokens:
        if not (_no_blank_before.fullmatch(token) or _no_blank_after.search(parts[-1])):
            parts.append(" ")
        parts.append(token)
    return "".join(parts)


def _check(model: TextModel, length: int, temperature: float, top_k: int | None, seed: int) -> None:
    if not hasattr(model.head, "next_token"):
        instead = (
            'it fills in blanks: rnntext predict RUN --text "I ____ this"'
            if getattr(model.head, "fills_blanks", False)
            else "ask it by rnntext predict"
        )
        raise UsageError(
            f'this model tells no next token; {instead}. To generate, train a recipe with head.type = "next_token"'
        )
    if getattr(model.head, "backwards", False):
        raise UsageError(
            "this model reads texts from their ends (head.backwards = true), so it tells what stood before a text, "
            "not what follows; train one without"
        )
    if length < 1:
        raise UsageError(f"length must be at least 1, not {length}")
    if top_k is not None and top_k < 1:
        raise UsageError(f"top_k must be at least 1, not {top_k}")
    if not (math.isfinite(temperature) and temperature >= 0):
        raise UsageError(f"temperature must be a number from 0 up, not {temperature}")
    if seed < 0:
        raise UsageError(f"seed must be 0 or more, not {seed}")
