"""One seed, many named streams: nothing draws from a stream that something else may also draw from."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on `seed` and the names; different names give independent streams.

    Example:
        >>> derive(0, "order", 3) == derive(0, "order", 3), derive(0, "order") == derive(0, "init")
        (True, False)
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device`, seeded by `derive(seed, *names)`."""
    return torch.Generator(device).manual_seed(derive(seed, *names))


class Randomness:
    """The state of torch's global generators that a model on a device draws from (dropout), to draw the same again."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def again(self) -> None:
        """Go back to it."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)
