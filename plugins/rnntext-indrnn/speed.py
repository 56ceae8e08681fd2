"""How long a training step of indrnn takes beside the built-in gru: `python speed.py`, one thread, both in turn."""

import sys
import time

import torch

from rnntext import registry

TEXTS, LONGEST, WIDTH, ROUNDS = 32, 40, 100, 15


def seconds_of_a_step(encoder: torch.nn.Module, embedded: torch.Tensor, lengths: torch.Tensor) -> float:
    """Return the processor seconds of one reading and its way back."""
    started = time.process_time()
    encoder(embedded, lengths).states.square().mean().backward()
    return time.process_time() - started


def main() -> None:
    """Print the median of each, and their ratio, for one and two layers."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lengths = torch.randint(1, LONGEST + 1, (TEXTS,)).sort(descending=True).values
    lengths[0] = LONGEST
    embedded = torch.randn(TEXTS, LONGEST, WIDTH)
    for num_layers in (1, 2):
        encoders = {
            name: registry.get("encoders", name)(input_dim=WIDTH, hidden_dim=WIDTH, num_layers=num_layers)
            for name in ("indrnn", "gru")
        }
        times: dict[str, list[float]] = {name: [] for name in encoders}
        for _ in range(ROUNDS):
            for name, encoder in encoders.items():
                times[name].append(seconds_of_a_step(encoder, embedded, lengths))
        medians = {name: sorted(found)[len(found) // 2] for name, found in times.items()}
        shown = ", ".join(f"{name} {1000 * median:.1f} ms" for name, median in medians.items())
        sys.stdout.write(f"{num_layers} layer(s): {shown}, ratio {medians['indrnn'] / medians['gru']:.2f}\n")


if __name__ == "__main__":
    main()
