"""The small vision transformer."""

from __future__ import annotations

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.core.head import find_head
from steelyard.nets.by_name import build
from steelyard.nets.small_vit import SmallViT, positions


@pytest.mark.parametrize("size", [(8, 8), (9, 14), (32, 32)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size(size: tuple[int, int], channels: int) -> None:
    model = SmallViT(5, channels, width=16, depth=1, heads=2)
    batch = torch.rand(2, channels, *size)
    assert model(batch).shape == (2, 5)
    assert model.features(batch).shape == (2, 16)
    assert torch.equal(model.head(model.features(batch)), model(batch))


def test_padding_with_zeros_is_what_is_done_to_sides_that_do_not_fit() -> None:
    model = SmallViT(3, 1, patch=4, width=16, depth=1, heads=2)
    batch = torch.rand(2, 1, 6, 7)
    padded = torch.zeros(2, 1, 8, 8)
    padded[:, :, :6, :7] = batch
    assert torch.equal(model(batch), model(padded))


def test_places_matter_and_are_all_different() -> None:
    model = SmallViT(3, 1, patch=2, width=16, depth=1, heads=2).eval()
    batch = torch.rand(1, 1, 4, 4)
    assert not torch.allclose(model(batch), model(batch.flip(3)), atol=1e-6)
    table = positions(5, 7, 16)
    assert len(torch.unique(table, dim=0)) == 35


def test_attention_is_softmax_of_products() -> None:
    block = SmallViT(3, 1, width=8, depth=1, heads=2).blocks[0]
    tokens = torch.randn(2, 5, 8)
    x = block.norm1(tokens)
    q, k, v = (layer(x).reshape(2, 5, 2, 4) for layer in (block.q_proj, block.k_proj, block.v_proj))
    weights = torch.einsum("bihd,bjhd->bhij", q, k).div(2.0).softmax(3)
    mixed = torch.einsum("bhij,bjhd->bihd", weights, v).reshape(2, 5, 8)
    after = tokens + block.o_proj(mixed)
    after = after + block.fc2(torch.nn.functional.gelu(block.fc1(block.norm2(after))))
    assert torch.allclose(block(tokens), after, atol=1e-5)


def test_it_ends_in_the_classifier_and_is_known_by_name() -> None:
    model = build("small-vit", num_classes=4, input_shape=(3, 8, 8), width=16, depth=2, heads=2)
    found = find_head(model)
    assert found is not None
    assert found[0] == "head"
    names = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2", "head"}


@pytest.mark.parametrize("wrong", [{"patch": 0}, {"width": 10}, {"width": 20, "heads": 3}, {"depth": 0}, {"heads": 0}])
def test_sizes_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(ArgumentError):
        SmallViT(3, **wrong)  # type: ignore[arg-type]
