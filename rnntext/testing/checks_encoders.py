"""What is asked of encoders."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rnntext.contracts import Encoded
from rnntext.errors import ShapeError
from rnntext.testing.material import LENGTHS, WIDTH, inside, vectors
from rnntext.testing.subject import (
    SEED,
    Checks,
    DoesNotApplyError,
    Subject,
    difference,
    refuse,
    require,
    require_gradients,
)

of_encoders = Checks()
TOLERANCE = 1e-4
MOVED = 1e-6
"""A state that differs by more has read what was changed."""


def _encoder(subject: Subject, seed: int = SEED) -> Any:
    return subject.build(seed, input_dim=WIDTH).eval()


def _read(encoder: Any, embedded: Tensor, lengths: tuple[int, ...] = LENGTHS, *more: Any) -> Encoded:
    encoded: Encoded = encoder(embedded, torch.tensor(lengths), *more)
    return encoded


@of_encoders
def shapes(subject: Subject) -> None:
    """States are float [B, T, output_dim], final is [B, output_dim], of the dtype that came in."""
    encoder = _encoder(subject)
    encoded = _read(encoder, vectors(extra=2))
    require(isinstance(encoded, Encoded), f"it returns {type(encoded).__name__}, not contracts.Encoded")
    wanted = {
        "states": (len(LENGTHS), max(LENGTHS) + 2, encoder.output_dim),
        "final": (len(LENGTHS), encoder.output_dim),
    }
    for name, shape in wanted.items():
        found = getattr(encoded, name)
        require(
            tuple(found.shape) == shape,
            f"of float [4, 9, {WIDTH}], {name} is {list(found.shape)}; with output_dim = {encoder.output_dim} it "
            f"must be {list(shape)}",
        )
        require(found.dtype == torch.float32, f"of float32, {name} is {found.dtype}")


@of_encoders
def zero_at_padding(subject: Subject) -> None:
    """States at padding are zero."""
    states = _read(_encoder(subject), vectors(extra=2)).states.detach()
    padding = ~inside(LENGTHS, states.shape[1])
    require(
        not states[padding].any(), f"states at padding hold up to {float(states[padding].abs().max()):.3g}, not 0"
    )


@of_encoders
def padding_is_ignored(subject: Subject) -> None:
    """What stands in padding, be it infinity or no number, and how much there is, changes nothing."""
    encoder = _encoder(subject)
    clean = _read(encoder, vectors(extra=2))
    outside = ~inside(LENGTHS, max(LENGTHS) + 2)
    for filler in (0.0, 1e3, float("inf"), float("nan")):
        embedded = vectors(extra=2)
        embedded[outside] = filler
        found = _differs(_read(encoder, embedded), clean)
        require(not found, f"with {filler} in padding, {found}; never read past a text's length")
    short = _read(encoder, vectors(extra=2)[:, : max(LENGTHS)])
    found = difference(short.states, clean.states[:, : max(LENGTHS)], TOLERANCE, "states ")
    found = found or difference(short.final, clean.final, TOLERANCE, "final ")
    require(not found, f"with two columns of padding more, {found}; never read past a text's length")


def _differs(one: Encoded, other: Encoded) -> str:
    found = difference(one.states, other.states, TOLERANCE, "states ")
    return found or difference(one.final, other.final, TOLERANCE, "final ")


@of_encoders
def alone_as_among_others(subject: Subject) -> None:
    """A text's states are the same alone, in any batch and in any order."""
    encoder = _encoder(subject)
    embedded = vectors()
    encoded = _read(encoder, embedded)
    for row, length in enumerate(LENGTHS):
        alone = _read(encoder, embedded[row : row + 1, :length], (length,))
        found = difference(alone.states[0], encoded.states[row, :length], TOLERANCE, "states ")
        found = found or difference(alone.final[0], encoded.final[row], TOLERANCE, "final ")
        require(not found, f"of a text of {length} tokens, alone and in a batch of lengths {LENGTHS}, {found}")
    order = [2, 0, 3, 1]
    turned = _read(encoder, embedded[order], tuple(LENGTHS[row] for row in order))
    found = difference(turned.states, encoded.states[order], TOLERANCE, "states ")
    found = found or difference(turned.final, encoded.final[order], TOLERANCE, "final ")
    require(not found, f"of the same texts in another order, {found}")


@of_encoders
def everything_learns(subject: Subject) -> None:
    """Every trainable parameter and every real token of the input gets a finite gradient; padding gets none."""
    encoder = _encoder(subject)
    embedded = vectors(extra=1).requires_grad_()
    encoded = _read(encoder, embedded)
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(encoded.states.shape, generator=generator)
    torch.autograd.backward((encoded.states * weights).sum())
    require_gradients(encoder)
    require(embedded.grad is not None, "the embedded tokens get no gradient; the embeddings would never learn")
    assert embedded.grad is not None
    real = inside(LENGTHS, embedded.shape[1])
    require(bool(embedded.grad[real].any(dim=-1).all()), "some real tokens get no gradient")
    require(not embedded.grad[~real].any(), "padding gets a gradient")


@of_encoders
def repeatable(subject: Subject) -> None:
    """In evaluation, the same texts give the same states: nothing is drawn, nothing kept between calls."""
    encoder = _encoder(subject)
    first = _read(encoder, vectors())
    states, final = first.states.detach().clone(), first.final.detach().clone()
    _read(encoder, vectors(seed=9))
    again = _read(encoder, vectors())
    found = difference(again.states, states, 0.0, "states ") or difference(again.final, final, 0.0, "final ")
    require(not found, f"of the same texts read twice, with others between, {found}")


@of_encoders
def input_untouched(subject: Subject) -> None:
    """What it is given is not changed in place."""
    encoder = _encoder(subject)
    for training in (False, True):
        encoder.train(training)
        embedded, lengths = vectors(extra=1), torch.tensor(LENGTHS)
        encoder(embedded, lengths)
        require(torch.equal(embedded, vectors(extra=1)), "the embedded tokens are changed in place; work on a copy")
        require(lengths.tolist() == list(LENGTHS), "the lengths are changed in place; work on a copy")


@of_encoders
def wrong_shapes_refused(subject: Subject) -> None:
    """Vectors of another width, and lengths out of range, raise ShapeError."""
    encoder = _encoder(subject)
    wrong = {
        f"vectors of width {WIDTH + 1} for input_dim = {WIDTH}": (torch.zeros(2, 3, WIDTH + 1), [1, 3]),
        "the length 0": (torch.zeros(2, 3, WIDTH), [0, 3]),
        "the length 4 of 3 tokens": (torch.zeros(2, 3, WIDTH), [1, 4]),
        "one length for two texts": (torch.zeros(2, 3, WIDTH), [3]),
    }
    for what, (embedded, lengths) in wrong.items():
        _must_refuse(partial(encoder, embedded, torch.tensor(lengths)), what)


def _must_refuse(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except ShapeError:
        return
    except Exception as error:  # of whatever sort, it is not the one that was promised
        refuse(f"{what}: raises {type(error).__name__} ({error}); raise ShapeError, which says what does not fit")
    refuse(f"{what}: raises nothing; raise ShapeError")


@of_encoders
def state_carries_on(subject: Subject) -> None:
    """A text read in two pieces, the state carried on, equals the text read at once."""
    encoder = _encoder(subject)
    if "future" in subject.part.reads(subject.all_options):
        raise DoesNotApplyError("with these options it reads the future, so a first piece cannot stand alone")
    lengths, cut = (6, 5), 4
    embedded = vectors(lengths)
    whole = _read(encoder, embedded, lengths)
    if whole.state is None:
        raise DoesNotApplyError("its state is None: it carries none on")
    first = _read(encoder, embedded[:, :cut], (cut, cut))
    second = _read(encoder, embedded[:, cut:], (2, 1), first.state)
    for row, length in enumerate(lengths):
        joined = torch.cat([first.states[row], second.states[row, : length - cut]])
        found = difference(joined, whole.states[row, :length], TOLERANCE, "states ")
        require(not found, f"of a text of {length} tokens read as {cut} and {length - cut}, {found}")
    found = difference(second.final, whole.final, TOLERANCE, "final ")
    require(not found, f"of texts read in two pieces, {found}")
    found = difference(list(second.state or ()), list(whole.state), TOLERANCE, "state ")
    require(not found, f"of texts read in two pieces, {found}")
    _must_refuse(
        lambda: _read(encoder, embedded, lengths, tuple(one[:1] for one in whole.state or ())),
        "a state of one text for two",
    )


@of_encoders
def reads_is_true(subject: Subject) -> None:
    """No state has read what ``reads(options)`` does not name: later tokens, or the hidden token itself."""
    encoder = _encoder(subject)
    declared = subject.part.reads(subject.all_options)
    require(
        isinstance(declared, frozenset) and declared <= {"future", "own_token"},
        f'reads gives {declared!r}; a frozenset of "future" and "own_token" is asked for',
    )
    for token, position, columns, from_end in _moved(encoder):
        if "future" not in declared:
            require(
                position >= token,
                f"changing token {token} changes the state at token {position}, before it, and reads names no "
                '"future": next_token would be told the answer',
            )
        if "own_token" not in declared and from_end is not None:
            ahead = torch.ones(len(columns), dtype=torch.bool)
            ahead[from_end] = False
            leaks = (position == token - 1 and (columns & ahead).any()) or (
                position == token + 1 and (columns & ~ahead).any()
            )
            require(
                not leaks,
                f"changing token {token} changes the half of the state at {position} that should not have read it, "
                'and reads names no "own_token": fill_blank would be told the answer',
            )


@of_encoders
def from_end_is_true(subject: Subject) -> None:
    """``Encoded.from_end``: those columns have read a text from its end, all others nothing after the token."""
    encoder = _encoder(subject)
    if _read(encoder, vectors()).from_end is None:
        raise DoesNotApplyError("from_end is None: which columns are which is not said")
    for token, position, columns, from_end in _moved(encoder):
        assert from_end is not None
        backwards = torch.zeros(len(columns), dtype=torch.bool)
        backwards[from_end] = True
        both = bool((columns & backwards).any()), bool((columns & ~backwards).any())
        require(
            not (both[0] and token < position),
            f"from_end is {from_end}, and those columns at token {position} change with token {token}, before it",
        )
        require(
            not (both[1] and token > position),
            f"from_end is {from_end}, and other columns at token {position} change with token {token}, after it",
        )


def _moved(encoder: Any) -> list[tuple[int, int, Tensor, slice | None]]:
    """Return (token, position, bool [D], from_end) wherever changing a token changes the state at a position."""
    steps = 6
    embedded = vectors((steps,))
    before = _read(encoder, embedded, (steps,))
    found = []
    for token in range(steps):
        for size in (1.0, -8.0):
            changed = embedded.clone()
            changed[0, token] += size
            moved = (_read(encoder, changed, (steps,)).states[0] - before.states[0]).abs() > MOVED
            found += [
                (token, position, moved[position], before.from_end)
                for position in moved.any(dim=-1).nonzero()[:, 0].tolist()
            ]
    return found


@of_encoders
def pieces_equal_the_whole(subject: Subject) -> None:
    """Read in pieces of ``chunk_tokens``, states and final are those of the text read whole."""
    encoder = _encoder(subject)
    if not getattr(encoder, "chunk_tokens", 0):
        raise DoesNotApplyError("it reads no text in pieces with these options (chunk_tokens)")
    lengths = (3 * encoder.chunk_tokens + 1, 2, encoder.chunk_tokens)
    embedded = vectors(lengths)
    size, encoder.chunk_tokens = encoder.chunk_tokens, 0
    whole = _read(encoder, embedded, lengths)
    encoder.chunk_tokens = size
    states = torch.full_like(whole.states, float("nan"))
    states[~inside(lengths, states.shape[1])] = 0
    pieces = encoder.in_pieces(lambda rows, places: embedded[rows[:, None], places], torch.tensor(lengths))
    for piece in pieces:
        row, column = piece.mask.nonzero(as_tuple=True)
        states[..., piece.columns].index_put_(
            (piece.rows[row], piece.positions[row, column]), piece.states[row, column]
        )
    found = difference(states, whole.states, TOLERANCE, "states ")
    found = found or difference(pieces.final, whole.final, TOLERANCE, "final ")
    require(not found, f"of texts of {lengths} tokens in pieces of {size}, {found}")


@of_encoders
def float64_works(subject: Subject) -> None:
    """Cast to float64 it reads float64, and gives nearly what it gave in float32."""
    encoder = _encoder(subject)
    rounded = _read(encoder, vectors())
    exact = _read(encoder.double(), vectors().double())
    for name in ("states", "final"):
        found = getattr(exact, name)
        require(found.dtype == torch.float64, f"of float64, {name} is {found.dtype}")
        away = difference(found, getattr(rounded, name).double(), 1e-3, f"{name} ")
        require(not away, f"in float64 and float32, {away}")
