"""The network for tables: its columns, its limiting cases, and many members at once."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call, stack_module_state, vmap

from steelyard.core.errors import ArgumentError
from steelyard.core.head import find_head
from steelyard.core.seeds import generator
from steelyard.nets.column_scales import ColumnScales
from steelyard.nets.numeric_embeddings import PeriodicEmbedding, PiecewiseLinearEmbedding
from steelyard.nets.table_net import EMBEDDINGS, MEDIUM, WIDE, FromColumns, TableNet, settings_for

every_embedding = pytest.mark.parametrize("embedding", EMBEDDINGS)


def table(rows: int = 6) -> dict[str, torch.Tensor]:
    stream = generator(0, "table")
    return {
        "numeric": torch.randn(rows, 2, generator=stream),
        "categorical": torch.stack([torch.randint(0, k + 1, (rows,), generator=stream) for k in (3, 200)], dim=1),
    }


def both(**settings) -> TableNet:
    return TableNet(4, 2, (3, 200), hidden=(16, 8), **settings)


@every_embedding
def test_shapes(embedding: str):
    model = both(embedding=embedding)
    assert model(table()).shape == (6, 4)
    assert model.features(table()).shape == (6, 8)
    assert find_head(model) == ("head", model.head)


@every_embedding
def test_equals_a_loop_over_rows(embedding: str):
    model, inputs = both(embedding=embedding).eval(), table()
    want = []
    for numeric, codes in zip(inputs["numeric"], inputs["categorical"], strict=True):
        x = torch.cat([model.columns(numeric[None])[0], *(e.weight[c] for e, c in zip(model.embeddings, codes, strict=True))])
        for layer in (model.body[0], model.body[3]):
            hidden = layer.weight @ x + layer.bias
            x = hidden / (1 + torch.exp(-hidden))
        want.append(model.head.weight @ x + model.head.bias)
    torch.testing.assert_close(model(inputs), torch.stack(want))


def test_no_embedding_and_no_hidden_layer_is_a_linear_model():
    model, x = TableNet(3, 5, hidden=(), embedding="none"), torch.randn(4, 5, generator=generator(0, "x"))
    assert torch.equal(model(x), F.linear(x, model.head.weight, model.head.bias))


@every_embedding
def test_features_before_the_head(embedding: str):
    model = both(embedding=embedding).eval()
    assert torch.equal(model(table()), model.head(model.features(table())))


@every_embedding
def test_many_members_at_once_equal_one_after_another(embedding: str):
    models = [both(embedding=embedding).eval() for _ in range(3)]
    state, inputs = stack_module_state(models), table()
    at_once = vmap(lambda params, buffers: functional_call(models[0], (params, buffers), (inputs,)))(*state)
    torch.testing.assert_close(at_once, torch.stack([model(inputs) for model in models]))
    F.cross_entropy(at_once.flatten(0, 1), torch.ones(18, dtype=torch.int64), reduction="sum").backward()
    for number, model in enumerate(models):
        F.cross_entropy(model(inputs), torch.ones(6, dtype=torch.int64), reduction="sum").backward()
        for name, value in model.named_parameters():
            torch.testing.assert_close(state[0][name].grad[number], value.grad)


def test_dropout_is_drawn_for_each_member():
    models = [both(dropout=0.5).train()] * 2
    state, inputs = stack_module_state(models), table()
    run = vmap(lambda p, b: functional_call(models[0], (p, b), (inputs,)), randomness="different")
    first, second = run(*state)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("embedding", ["periodic", "piecewise"])
def test_columns_in_another_order_with_their_parameters_give_the_same(embedding: str):
    model, other = both(embedding=embedding).eval(), both(embedding=embedding).eval()
    state = model.state_dict()
    width = model.columns.width
    place = torch.arange(model.body[0].in_features)
    if embedding == "periodic":
        for name in ("frequency", "phase", "weight", "bias"):
            state[f"columns.{name}"] = state[f"columns.{name}"].flip(0)
        place[:width] = place[:width].view(2, -1).flip(0).flatten()
    else:
        place[:2] = place[:2].flip(0)
        place[2:width] = place[2:width].view(2, -1).flip(0).flatten()
    state["body.0.weight"] = state["body.0.weight"][:, place]
    other.load_state_dict(state)
    swapped = table() | {"numeric": table()["numeric"].flip(1)}
    torch.testing.assert_close(other(swapped), model(table()))


@every_embedding
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_gradients_are_finite_and_reach_everything(embedding: str, size: float):
    model, inputs = both(embedding=embedding, dropout=0.0), table()
    inputs["numeric"] = inputs["numeric"] * size
    inputs["categorical"][0] = 0
    F.cross_entropy(model(inputs), torch.zeros(6, dtype=torch.int64)).backward()
    for name, value in model.named_parameters():
        assert torch.isfinite(value.grad).all(), name
        if size:
            assert bool(value.grad.abs().sum() > 0), name


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


def test_a_row_does_not_depend_on_its_batch():
    model, inputs = both().eval(), table()
    one = {name: values[2:3] for name, values in inputs.items()}
    torch.testing.assert_close(model(inputs)[2:3], model(one))


def test_plain_tensor_and_categories_alone():
    model, x = TableNet(3, 4).eval(), torch.randn(5, 4, generator=generator(0, "x"))
    assert torch.equal(model(x), model({"numeric": x}))
    logits = TableNet(2, 0, (3,), dropout=0.0)({"categorical": torch.tensor([[0], [1], [2], [3]])})
    assert len(torch.unique(logits, dim=0)) == 4
    assert TableNet(2, 1, (0,))({"numeric": torch.zeros(2, 1), "categorical": torch.zeros(2, 1, dtype=torch.int64)}).shape == (
        2,
        2,
    )


def test_a_wave_along_one_column_is_learnt_by_the_embedding_and_not_without():
    stream = generator(0, "wave")
    x = torch.rand(512, 1, generator=stream) * 4 - 2
    target = (torch.sin(6 * x[:, 0]) > 0).long()
    losses = {}
    for embedding in ("periodic", "piecewise", "none"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = TableNet(2, 1, hidden=(), dropout=0.0, embedding=embedding)
        if isinstance(model.columns, PeriodicEmbedding):
            torch.nn.init.normal_(model.columns.frequency, std=1.0, generator=generator(0, "frequency"))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(150):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), target)
            loss.backward()
            optimizer.step()
        losses[embedding] = float(loss.detach())
    assert losses["periodic"] < 0.7 * losses["none"]
    assert losses["piecewise"] < 0.9 * losses["none"]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"num_classes": 0, "numeric": 1}, "num_classes"),
        ({"num_classes": 2, "numeric": -1}, "numeric"),
        ({"num_classes": 2, "numeric": 0}, "numeric"),
        ({"num_classes": 2, "numeric": 1, "cardinalities": (-1,)}, "cardinalities"),
        ({"num_classes": 2, "numeric": 1, "hidden": (4, 0)}, "hidden"),
        ({"num_classes": 2, "numeric": 1, "dropout": 1.0}, "dropout"),
        ({"num_classes": 2, "numeric": 1, "embedding": "fourier"}, "embedding"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, name: str):
    with pytest.raises(ArgumentError, match=name):
        TableNet(**settings)


def test_inputs_that_do_not_match_are_refused():
    model = both()
    with pytest.raises(ArgumentError, match="categorical"):
        model(table()["numeric"])
    with pytest.raises(ArgumentError, match="shape"):
        model(table() | {"numeric": torch.zeros(6, 3)})


def test_numbers_are_embedded_as_named():
    assert isinstance(TableNet(2, 1, embedding="periodic").columns, PeriodicEmbedding)
    assert isinstance(TableNet(2, 1, embedding="piecewise").columns, PiecewiseLinearEmbedding)


def test_settings_by_rows_embed_numbers_between_small_and_large():
    found = [settings_for(rows) for rows in (1, MEDIUM[0] - 1, MEDIUM[0], MEDIUM[1] - 1, MEDIUM[1])]
    assert [s["embedding"] for s in found] == ["none", "none", "periodic", "periodic", "none"]
    assert [s["dropout"] for s in found] == [0.1, 0.1, 0.3, 0.3, 0.0]
    for settings in found:
        assert TableNet(2, 3, **settings)(torch.zeros(4, 3)).shape == (4, 2)


def test_wide_tables_learn_a_factor_for_each_column():
    narrow, wide = (settings_for(1000, columns) for columns in (WIDE - 1, WIDE))
    assert (narrow["choosing"], wide["choosing"] > 1) == (0.0, True)
    assert isinstance(TableNet(2, WIDE, **wide).columns[1], ColumnScales)
    assert not isinstance(TableNet(2, WIDE - 1, **narrow).columns, torch.nn.Sequential)


def test_without_numeric_columns_there_is_nothing_to_scale():
    assert list(TableNet(2, 0, (3,), choosing=20.0).columns.parameters()) == []


@pytest.mark.parametrize("choosing", [-1.0, float("nan"), float("inf")])
def test_the_speed_of_factors_has_a_range(choosing: float):
    with pytest.raises(ArgumentError, match="choosing"):
        TableNet(2, 3, choosing=choosing)


@pytest.mark.parametrize("columns", [3, 60])
def test_the_layer_from_columns_is_a_linear_layer(columns: int):
    layer, plain = FromColumns(columns, 64), torch.nn.Linear(columns, 64)
    plain.load_state_dict(layer.state_dict())
    inputs = torch.randn(9, columns, requires_grad=True)
    torch.testing.assert_close(layer(inputs), plain(inputs))
    found, wanted = (torch.autograd.grad(own(inputs).square().sum(), [inputs, *own.parameters()]) for own in (layer, plain))
    for gradient, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer(torch.ones(2, 5, columns)), plain(torch.ones(2, 5, columns)))
