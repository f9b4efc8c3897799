"""CutMix: what is in each image is what its shares say; distribution of the area; refusals."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import generator
from steelyard.transforms import CutMix


def oracle(seed: int = 0) -> Oracle:
    return Oracle(
        nn.Linear(4, 3), lambda m, b: Rows(m(b.inputs)[b.owner], b.target), Objective(), draws=generator(seed, "draws")
    )


def numbered(count: int, height: int = 8, width: int = 6, dtype: torch.dtype = torch.float32, **fields) -> Batch:
    """Images whose pixels all hold the image's own number."""
    images = torch.arange(count).to(dtype).reshape(-1, 1, 1, 1).expand(count, 3, height, width).contiguous()
    return Batch(images, torch.arange(count) % 3, torch.arange(count), **fields)


@given(
    count=st.integers(1, 9), height=st.integers(1, 12), width=st.integers(1, 12), per_row=st.booleans(), seed=st.integers(0, 99)
)
def test_shares_are_the_areas(count, height, width, per_row, seed):
    made = CutMix(per_row=per_row)(oracle(seed), numbered(count, height, width))
    for image in range(count):
        pixels = made.inputs[image, 0]
        partner = int(made.index[count + image])
        assert torch.equal(made.inputs[image], made.inputs[image, :1].expand(3, height, width))
        assert set(pixels.unique().tolist()) <= {float(image), float(partner)}
        cut = pixels == partner
        if partner != image:
            assert made.share[count + image].item() == pytest.approx(cut.float().mean().item(), abs=1e-6)
            if cut.any():  # the cut pixels are a full rectangle
                rows, columns = cut.any(1).nonzero().flatten(), cut.any(0).nonzero().flatten()
                assert int(cut.sum()) == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    torch.testing.assert_close(made.share[:count] + made.share[count:], torch.ones(count))


def test_a_rectangle_for_all_or_for_each():
    assert len(CutMix()(oracle(3), numbered(40)).share[:40].unique()) == 1
    assert len(CutMix(per_row=True)(oracle(3), numbered(40)).share[:40].unique()) > 5


def test_the_area_before_cutting_off_is_that_of_lambda():
    # Around every centre: a rectangle of the same area is cut off least in the middle, so the mean share is known.
    shares = CutMix(per_row=True)(oracle(), numbered(4000, 32, 32)).share[:4000]
    stream, total = torch.Generator().manual_seed(1), 0.0
    for _ in range(4000):
        lam, y, x = torch.rand(3, generator=stream).tolist()
        half, y, x = int((1 - lam) ** 0.5 * 32) // 2, int(y * 32), int(x * 32)
        total += 1 - (min(y + half, 32) - max(y - half, 0)) * (min(x + half, 32) - max(x - half, 0)) / 1024
    assert float(shares.mean()) == pytest.approx(total / 4000, abs=0.02)


def test_probability():
    made = CutMix(per_row=True, probability=0.3)(oracle(), numbered(2000, 32, 32))
    untouched = (made.share[:2000] == 1).float().mean()
    # A cut of less than two pixels is none: that has probability (2 / 32)^2.
    assert float(untouched) == pytest.approx(0.7 + 0.3 * (2 / 32) ** 2, abs=0.04)
    source = numbered(4)
    assert CutMix(probability=0)(oracle(), source) is source
    assert CutMix(0)(oracle(), source) is source


def test_bytes_stay_bytes_and_the_source_stays():
    source = numbered(6, dtype=torch.uint8)
    made = CutMix()(oracle(), source)
    assert made.inputs.dtype == torch.uint8
    assert torch.equal(source.inputs, numbered(6, dtype=torch.uint8).inputs)


def test_ignored_rows_stay_ignored():
    made = CutMix()(oracle(), numbered(4, share=torch.tensor([0.0, 1.0, 1.0, 1.0])))
    assert bool((made.share[made.index == 0] == 0).all())


@pytest.mark.parametrize("inputs", [torch.zeros(3, 4), torch.zeros(3, 8, 8), {"numeric": torch.zeros(3, 4)}])
def test_refuses_what_is_no_image(inputs):
    with pytest.raises(CombinationError, match="use mixup"):
        CutMix()(oracle(), numbered(3).replace(inputs=inputs))


@pytest.mark.parametrize("inputs", [torch.arange(3), torch.zeros(3, 2, dtype=torch.int64), (torch.zeros(3, 4),)])
def test_does_not_advise_what_would_be_refused_too(inputs):
    with pytest.raises(CombinationError, match="leave it out") as refused:
        CutMix()(oracle(), numbered(3).replace(inputs=inputs))
    assert "mixup" not in str(refused.value)


def test_refuses_settings_and_extra():
    for wrong in ({"alpha": -1.0}, {"probability": 1.1}):
        with pytest.raises(ArgumentError, match=f"`{next(iter(wrong))}`"):
            CutMix(**wrong)
    with pytest.raises(CombinationError, match="'views'"):
        CutMix()(oracle(), numbered(3, extra={"views": torch.zeros(3)}))
