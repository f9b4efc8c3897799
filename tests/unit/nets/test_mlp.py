"""The MLP for tables: embeddings, unknown categories, normalisation."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import generator
from steelyard.nets.mlp import MLP


def table(rows: int = 6) -> dict[str, torch.Tensor]:
    stream = generator(0, "table")
    return {
        "numeric": torch.randn(rows, 2, generator=stream),
        "categorical": torch.stack([torch.randint(0, k + 1, (rows,), generator=stream) for k in (3, 200)], dim=1),
    }


def both(**settings) -> MLP:
    return MLP(4, 2, (3, 200), hidden=(16, 8), **settings)


def test_shapes_and_size():
    model = both()
    assert model(table()).shape == (6, 4)
    assert model.features(table()).shape == (6, 8)
    embeddings = 4 * 2 + 201 * 50
    width = 2 + 2 + 50
    hidden = (width * 16 + 16 + 2 * 16) + (16 * 8 + 8 + 2 * 8)
    assert sum(p.numel() for p in model.parameters()) == embeddings + hidden + 8 * 4 + 4


def test_equals_a_loop_over_rows():
    model = both(norm="none").eval()
    inputs = table()
    want = []
    for numeric, codes in zip(inputs["numeric"], inputs["categorical"], strict=True):
        x = torch.cat([numeric, *(e.weight[code] for e, code in zip(model.embeddings, codes, strict=True))])
        for layer in (model.body[0], model.body[4]):
            x = F.relu(layer.weight @ x + layer.bias)
        want.append(model.head.weight @ x + model.head.bias)
    torch.testing.assert_close(model(inputs), torch.stack(want))


def test_unknown_category_starts_at_zero_and_is_trained():
    model = both()
    assert all(torch.equal(e.weight[0], torch.zeros(e.embedding_dim)) for e in model.embeddings)
    inputs = table()
    inputs["categorical"][:, 0] = 0
    F.cross_entropy(model(inputs), torch.zeros(6, dtype=torch.int64)).backward()
    assert bool(model.embeddings[0].weight.grad[0].abs().sum() > 0)


@pytest.mark.parametrize("code", [-1, 4, 10**9])
def test_an_index_out_of_range_is_unknown(code: int):
    model = both().eval()
    inputs, unknown = table(), table()
    inputs["categorical"][:, 0], unknown["categorical"][:, 0] = code, 0
    assert torch.equal(model(inputs), model(unknown))


def test_known_categories_differ_from_unknown_and_from_each_other():
    model = MLP(2, 0, (3,), dropout=0.0)
    logits = model({"categorical": torch.tensor([[0], [1], [2], [3]])})
    assert len(torch.unique(logits, dim=0)) == 4


def test_a_column_without_known_categories_works():
    model = MLP(2, 1, (0,))
    assert model({"numeric": torch.zeros(2, 1), "categorical": torch.zeros(2, 1, dtype=torch.int64)}).shape == (2, 2)


def test_plain_tensor_and_images():
    model = MLP(3, 12, norm="layer").eval()
    x = torch.randn(5, 3, 2, 2, generator=generator(0, "x"))
    assert torch.equal(model(x), model(x.flatten(1)))
    assert torch.equal(model(x.flatten(1)), model({"numeric": x.flatten(1)}))


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_norms(norm: str):
    model = both(norm=norm, dropout=0.0)
    alone, together = model(table())[:3], model({name: value[:3] for name, value in table().items()})
    if norm == "batch":
        assert not torch.allclose(alone, together)
    else:
        torch.testing.assert_close(alone, together)
    one = {name: value[:1] for name, value in table().items()}
    assert model.eval()(one).shape == (1, 4)


def test_no_hidden_layer_is_linear():
    model = MLP(2, 3, hidden=())
    x = torch.randn(4, 3, generator=generator(0, "x"))
    torch.testing.assert_close(model(x), x @ model.head.weight.T + model.head.bias)


def test_gradients_state_functional_call_and_autocast():
    model, other = both(dropout=0.0), both(dropout=0.0)
    F.cross_entropy(model(table()), torch.arange(6) % 4).backward()
    assert all(p.grad is not None for p in model.parameters())
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(table()), other(table()))
    zeros = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    assert torch.equal(functional_call(model, zeros, (table(),)), torch.zeros(6, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(table()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"num_classes": 0, "numeric": 1}, "num_classes"),
        ({"num_classes": 2, "numeric": -1}, "numeric"),
        ({"num_classes": 2, "numeric": 0}, "numeric"),
        ({"num_classes": 2, "numeric": 1, "cardinalities": (-1,)}, "cardinalities"),
        ({"num_classes": 2, "numeric": 1, "hidden": (0,)}, "hidden"),
        ({"num_classes": 2, "numeric": 1, "dropout": -0.1}, "dropout"),
        ({"num_classes": 2, "numeric": 1, "norm": "group"}, "norm"),
    ],
)
def test_refuses_bad_settings(settings, named):
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        MLP(**settings)


@pytest.mark.parametrize(
    "inputs",
    [
        torch.zeros(2, 2),
        {"numeric": torch.zeros(2, 2)},
        {"numeric": torch.zeros(2, 3), "categorical": torch.zeros(2, 2, dtype=torch.int64)},
        {"numeric": torch.zeros(2, 2), "categorical": torch.zeros(2, dtype=torch.int64)},
    ],
)
def test_refuses_inputs_that_do_not_match_the_columns(inputs):
    with pytest.raises(ArgumentError, match="inputs"):
        both()(inputs)
