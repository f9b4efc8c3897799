"""M2m against its published steps, one row and one number at a time."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import generator
from steelyard.transforms import MajorToMinor
from steelyard.transforms.major_to_minor import Box, Search

SHAPE = (2, 3, 3)


def network(seed: int, classes: int) -> nn.Module:
    """With everything that must not be touched: BatchNorm with statistics of its own, and dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = nn.Sequential(
            nn.Conv2d(2, 4, 2), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16, classes)
        ).double()
        made(torch.rand(20, *SHAPE, dtype=torch.float64))
    return made


def oracle_of(model: nn.Module, seed: int) -> Oracle:
    def forward(model: nn.Module, batch: Batch) -> Rows:
        return Rows(model(batch.inputs), batch.target, index=batch.index, share=batch.share)

    return Oracle(model, forward, Objective(), draws=generator(seed, "draws"))


def translated_by_hand(f: nn.Module, g: nn.Module, batch: Batch, counts: list[int], s: dict, seed: int) -> Tensor:
    """The steps of the paper and its released code, for one row after the other."""
    f, g = copy.deepcopy(f).eval(), copy.deepcopy(g).eval()
    stream, labels = generator(seed, "draws"), batch.target.tolist()
    which, where, coin = torch.rand(3, len(labels), generator=stream).tolist()
    wanted = []
    for i, k in enumerate(labels):
        odds = [1 - s["beta"] ** max(counts[label] - counts[k], 0) for label in labels]
        total, reached, j = sum(odds), 0.0, len(labels) - 1
        for candidate, odd in enumerate(odds):
            reached += odd
            if reached > where[i] * total:
                j = candidate
                break
        if which[i] < 1 - counts[k] / max(counts) and coin[i] < odds[j]:
            wanted.append((i, j))
    noise = torch.rand(len(wanted), *SHAPE, generator=stream) - 0.5
    inputs = batch.inputs.clone()
    for (i, j), start in zip(wanted, noise.double(), strict=True):
        k, k0, seed_image = labels[i], labels[j], batch.inputs[j]
        norm = math.sqrt(sum(v * v for v in start.flatten().tolist()))
        x = (seed_image + start * min(1.0, s["start"] / norm)).clamp(0, 1)
        for _ in range(s["steps"]):
            x = x.detach().requires_grad_()
            loss = -g(x[None])[0].log_softmax(0)[k] + s["lam"] * f(x[None])[0, k0]
            (slope,) = torch.autograd.grad(loss, x)
            length = math.sqrt(sum(v * v for v in slope.flatten().tolist()))
            x = (x.detach() - s["step_size"] * slope / length).clamp(0, 1)
        if g(x[None])[0].softmax(0)[k] >= s["gamma"]:
            inputs[i] = x
    return inputs


@settings(max_examples=20)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=5),
    beta=st.sampled_from([0.0, 0.5, 0.9, 0.99]),
    gamma=st.sampled_from([0.0, 0.2, 0.5]),
    lam=st.sampled_from([0.0, 0.5, 2.0]),
    steps=st.integers(0, 4),
    rows=st.integers(1, 14),
    seed=st.integers(0, 999),
)
def test_every_row_is_what_the_published_steps_make_of_it(sizes, beta, gamma, lam, steps, rows, seed):
    f, g = network(seed, len(sizes)), network(seed + 1, len(sizes))
    stream = generator(seed, "batch")
    inputs = torch.rand(rows, *SHAPE, generator=stream, dtype=torch.float64)
    batch = Batch(inputs, torch.randint(len(sizes), (rows,), generator=stream), torch.arange(rows))
    s = {"beta": beta, "gamma": gamma, "lam": lam, "steps": steps, "start": 0.5, "step_size": 0.3}
    search = Search(lam, steps, s["step_size"], s["start"], Box(0.0, 1.0))
    made = MajorToMinor(sizes, g, beta=beta, gamma=gamma, search=search)(oracle_of(f, seed), batch)
    wanted = translated_by_hand(f, g, batch, sizes, s, seed)
    torch.testing.assert_close(made.inputs, wanted, rtol=1e-7, atol=1e-9)
    assert torch.equal(made.target, batch.target)


# Counts of CIFAR-10-LT with ratio 100, and what the published beta makes of them.
COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def even(rows_each: int) -> Batch:
    target = torch.arange(10).repeat_interleave(rows_each)
    return Batch(torch.zeros(len(target), 1), target, torch.arange(len(target)))


def test_seeds_come_from_the_published_distribution():
    """Accepted seeds of the smallest class follow Q times the coin; with a known Q both are checked at once."""
    q = torch.tensor([0.224, 0.214, 0.186, 0.145, 0.101, 0.065, 0.038, 0.019, 0.007, 0.0])
    coin = torch.tensor([1 - 0.999 ** (n - 50) for n in COUNTS])
    batch = even(200)
    batch = batch.replace(inputs=batch.target[:, None].float())  # a row shows where it came from
    search = Search(steps=0, start=0.0, lam=0.0)
    part = MajorToMinor(COUNTS, nn.Linear(1, 10), beta=0.999, gamma=0.0, search=search)
    oracle = oracle_of(nn.Linear(1, 10), 0)
    seen = torch.zeros(10)
    runs = 15
    for _ in range(runs):
        seen += torch.bincount(part(oracle, batch).inputs[-200:, 0].long(), minlength=10)
    total = runs * 200
    expected = total * (1 - 50 / 5000) * q * coin
    expected[9] = total - expected[:9].sum()
    # five deviations of a binomial, and the table's three digits
    slack = 5 * (expected * (1 - expected / total)).sqrt() + 0.0006 * total
    assert bool(((seen - expected).abs() <= slack).all())


@pytest.mark.parametrize(
    ("counts", "beta", "share", "smallest"),
    [
        (COUNTS, 0.999, 0.60, 0.745),
        ([round(5000 * 0.1 ** (c / 9)) for c in range(10)], 0.999, 0.47, 0.786),
        ([round(500 * 0.01 ** (c / 99)) for c in range(100)], 0.999, 0.16, 0.214),
        ([round(500 * 0.01 ** (c / 99)) for c in range(100)], 0.99, 0.58, 0.718),
        ([round(500 * 0.1 ** (c / 99)) for c in range(100)], 0.99, 0.45, 0.767),
    ],
    ids=["C10-100", "C10-10", "C100-100", "C100-100 beta .99", "C100-10 beta .99"],
)
def test_as_many_rows_are_replaced_as_published_settings_replace(counts, beta, share, smallest):
    classes, each = len(counts), 2000 // len(counts)
    target = torch.arange(classes).repeat_interleave(each)
    batch = Batch(torch.zeros(len(target), 1), target, torch.arange(len(target)))
    search = Search(steps=0, start=0.0, lam=0.0)
    batch = batch.replace(inputs=torch.arange(len(target), dtype=torch.float32)[:, None])
    part = MajorToMinor(counts, nn.Linear(1, classes), beta=beta, gamma=0.0, search=search)
    oracle = oracle_of(nn.Linear(1, classes), 0)
    changed = torch.stack([(part(oracle, batch).inputs != batch.inputs)[:, 0] for _ in range(6)]).float()
    assert changed.mean().item() == pytest.approx(share, abs=0.015)
    chosen = 1 - counts[-1] / counts[0]
    trials = changed[:, -each:]
    slack = 5 * math.sqrt(smallest * (1 - smallest) / (trials.numel() * chosen)) + 0.001
    assert trials.mean().item() / chosen == pytest.approx(smallest, abs=slack)
