"""The fused cross-entropy against the plain composition, for every combination of its options."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from steelyard.numeric import nll
from steelyard.numeric.nll import affine_nll, fused_nll, plain_nll

OPTIONS = [
    dict(zip(("scale", "shift", "margin", "smoothing"), chosen, strict=True))
    for chosen in itertools.product((None, "number", "rows"), (None, "finite", "some -inf"), (False, True), (False, True))
    if not (chosen[1] == "some -inf" and chosen[3])
]
every_combination = pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: " ".join(f"{k}={v}" for k, v in o.items() if v) or "-"
)

# torch compiles its own forward-mode rules with what it has itself deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")


def problem(options, rows=13, classes=7, dtype=torch.float64, seed=0, spread=3.0):
    stream = torch.Generator().manual_seed(seed)
    logits = (spread * torch.randn(rows, classes, generator=stream, dtype=torch.float64)).to(dtype)
    shift = torch.randn(classes, generator=stream, dtype=torch.float64).to(dtype) if options["shift"] else None
    target = torch.randint(classes, (rows,), generator=stream)
    if options["shift"] == "some -inf":
        shift[1:3] = -torch.inf
        target = torch.where((target == 1) | (target == 2), 0, target)
    rows_of = lambda low, high: (low + (high - low) * torch.rand(rows, generator=stream, dtype=torch.float64)).to(dtype)  # noqa: E731
    scale = {None: None, "number": 2.5, "rows": rows_of(0.2, 3.0)}[options["scale"]]
    margin = rows_of(0.0, 2.0) if options["margin"] else None
    smoothing = rows_of(0.0, 0.9) if options["smoothing"] else None
    return logits, target, scale, shift, margin, smoothing


def by_hand(logits, target, scale, shift, margin, smoothing) -> Tensor:
    """The definition in the module's docstring."""
    onehot = F.one_hot(target, logits.shape[1]).to(logits.dtype)
    a = logits
    if scale is not None:
        a = a * (scale[:, None] if isinstance(scale, Tensor) else scale)
    if shift is not None:
        a = a + shift
    if margin is not None:
        a = a - margin[:, None] * onehot
    t = onehot
    if smoothing is not None:
        t = (1 - smoothing[:, None]) * onehot + smoothing[:, None] / logits.shape[1]
    return a.logsumexp(1) - torch.where(t > 0, t * a, torch.zeros_like(a)).sum(1)


def values_and_gradient(function, logits, *rest):
    leaf = logits.clone().requires_grad_()
    values = function(leaf, *rest)
    upstream = torch.linspace(0.5, 2.0, len(values), dtype=values.dtype)
    (gradient,) = torch.autograd.grad(values, leaf, upstream)
    return values.detach(), gradient


@every_combination
@pytest.mark.parametrize("steep", [0.0, 1e9])
def test_fused_is_plain_and_its_definition(options, steep, monkeypatch):
    monkeypatch.setattr(nll, "STEEP", steep)  # with and without the removal of subnormals
    given_ = problem(options)
    values, gradient = values_and_gradient(fused_nll, *given_)
    expected, expected_gradient = values_and_gradient(plain_nll, *given_)
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(values, by_hand(*given_), rtol=1e-12, atol=1e-12)


@every_combination
def test_fused_is_as_good_as_plain_in_float32(options):
    exact, exact_gradient = values_and_gradient(plain_nll, *problem(options, rows=40, classes=300))
    for function in (fused_nll, plain_nll):
        values, gradient = values_and_gradient(function, *problem(options, rows=40, classes=300, dtype=torch.float32))
        assert values.dtype == torch.float32
        torch.testing.assert_close(values.double(), exact, rtol=5e-6, atol=5e-6)
        torch.testing.assert_close(gradient.double(), exact_gradient, rtol=2e-5, atol=2e-6)


@every_combination
@pytest.mark.parametrize("spread", [1e3, 1e4])
@pytest.mark.parametrize("steep", [0.0, 1e9])
def test_extreme_logits_are_finite_and_equal(options, spread, steep, monkeypatch):
    monkeypatch.setattr(nll, "STEEP", steep)
    given_ = problem(options, rows=50, dtype=torch.float32, spread=spread)
    values, gradient = values_and_gradient(fused_nll, *given_)
    expected, expected_gradient = values_and_gradient(plain_nll, *given_)
    assert bool(torch.isfinite(values).all())
    assert bool(torch.isfinite(gradient).all())
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-5 * spread)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-5)


@every_combination
def test_fused_differentiates_to_second_order(options):
    logits, *rest = problem(options, rows=3, classes=4)
    logits = (logits / 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: fused_nll(z, *rest), logits)
    assert torch.autograd.gradgradcheck(lambda z: fused_nll(z, *rest), logits)


@every_combination
def test_fused_third_derivative_is_that_of_plain(options):
    logits, *rest = problem(options, rows=2, classes=3)
    if options["shift"] == "some -inf":
        rest[0] = torch.zeros_like(rest[0])
    direction = torch.randn(2, 3, dtype=torch.float64)

    def third(function):
        derivative = lambda z: function(z, *rest).sum()  # noqa: E731
        for _ in range(3):
            derivative = lambda z, inner=derivative: (  # noqa: E731
                (torch.autograd.grad(inner(z), z, create_graph=True)[0] * direction).sum()
            )
        return derivative(logits.clone().requires_grad_()).detach()

    torch.testing.assert_close(third(fused_nll), third(plain_nll), rtol=1e-9, atol=1e-9)


@every_combination
def test_a_gradient_penalty_goes_through_values_and_softmax_at_once(options):
    logits, *rest = problem(options, rows=4, classes=4)

    def penalised(function):
        leaf = logits.clone().requires_grad_()
        value = function(leaf, *rest).sum()
        (gradient,) = torch.autograd.grad(value, leaf, create_graph=True)
        return torch.autograd.grad(value + (gradient**2).sum(), leaf)[0]

    torch.testing.assert_close(penalised(fused_nll), penalised(plain_nll), rtol=1e-11, atol=1e-11)


@every_combination
@pytest.mark.parametrize("rows", [0, 1])
def test_no_row_and_one_row(options, rows):
    given_ = problem(options, rows=rows)
    values, gradient = values_and_gradient(fused_nll, *given_)
    expected, expected_gradient = values_and_gradient(plain_nll, *given_)
    assert values.shape == (rows,)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(gradient, expected_gradient)


@every_combination
def test_maps_of_fused_are_loops_of_plain(options):
    logits, *rest = problem(options)
    several = torch.stack([logits, logits.flip(0), -logits])
    mapped = torch.func.vmap(lambda z: fused_nll(z, *rest))(several)
    torch.testing.assert_close(mapped, torch.stack([plain_nll(z, *rest) for z in several]))
    slopes = torch.func.vmap(torch.func.grad(lambda z: fused_nll(z, *rest).sum()))(several)
    torch.testing.assert_close(slopes, torch.stack([torch.func.grad(lambda z: plain_nll(z, *rest).sum())(z) for z in several]))


def test_nothing_that_is_given_changes():
    given_ = problem({"scale": "rows", "shift": "finite", "margin": True, "smoothing": True})
    before = [part.clone() for part in given_]
    values_and_gradient(fused_nll, *given_)
    assert all(torch.equal(one, other) for one, other in zip(given_, before, strict=True))


def test_strided_logits():
    logits, *rest = problem({"scale": None, "shift": "finite", "margin": False, "smoothing": False})
    for view in (logits.t().contiguous().t(), torch.stack([logits, logits], 2)[..., 1]):
        values, gradient = values_and_gradient(fused_nll, view, *rest)
        expected, expected_gradient = values_and_gradient(plain_nll, logits, *rest)
        torch.testing.assert_close(values, expected)
        torch.testing.assert_close(gradient, expected_gradient)


def test_without_a_gradient_there_is_no_graph():
    given_ = problem({"scale": 2.0, "shift": None, "margin": False, "smoothing": False} | {"scale": "number"})
    assert not fused_nll(*given_).requires_grad
    with torch.no_grad():
        assert not fused_nll(given_[0].clone().requires_grad_(), *given_[1:]).requires_grad


def test_not_a_number_stays_not_a_number():
    logits, *rest = problem({"scale": "number", "shift": None, "margin": False, "smoothing": False})
    logits[3, 2] = torch.nan
    values = fused_nll(logits, *rest)
    assert bool(values[3].isnan())
    assert int(values.isnan().sum()) == 1


def test_a_class_that_is_out_has_no_gradient():
    given_ = problem({"scale": None, "shift": "some -inf", "margin": False, "smoothing": False})
    for function in (fused_nll, plain_nll):
        _, gradient = values_and_gradient(function, *given_)
        assert not gradient[:, 1:3].any()


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 10**6), st.sampled_from(OPTIONS))
def test_fused_is_plain_for_any_size(rows, classes, seed, options):
    if options["shift"] == "some -inf" and classes < 4:
        options = options | {"shift": "finite"}
    given_ = problem(options, rows, classes, seed=seed)
    values, gradient = values_and_gradient(fused_nll, *given_)
    expected, expected_gradient = values_and_gradient(plain_nll, *given_)
    torch.testing.assert_close(values, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-11, atol=1e-11)


class Taken:
    """Which way `affine_nll` went."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ways: list[str] = []
        for way in ("fused_nll", "plain_nll"):
            monkeypatch.setattr(nll, way, self._noting(way, getattr(nll, way)))

    def _noting(self, way, function):
        def noted(*args):
            self.ways.append(way)
            return function(*args)

        return noted


@pytest.fixture
def taken(monkeypatch):
    monkeypatch.setattr(nll, "FUSE_FROM", 20)
    return Taken(monkeypatch)


def test_which_way_is_taken(taken):
    small, large = torch.zeros(2, 4), torch.zeros(10, 4)
    shift = torch.zeros(4)
    affine_nll(small, torch.zeros(2, dtype=torch.int64), shift=shift)
    target = torch.zeros(10, dtype=torch.int64)
    affine_nll(large, target, shift=shift)
    affine_nll(large, target)  # nothing to change: torch's own
    affine_nll(large, target, shift=shift.clone().requires_grad_())
    torch.func.jvp(lambda z: affine_nll(z, target, shift=shift), (large,), (large,))
    torch.func.grad(lambda z: affine_nll(z, target, shift=shift).sum())(large)
    affine_nll(large.to("meta"), target.to("meta"), shift=shift.to("meta"))
    assert taken.ways == ["plain_nll", "fused_nll", "plain_nll", "plain_nll", "fused_nll", "plain_nll"]


def test_the_plain_way_differentiates_by_its_constants():
    logits, target, *constants = problem(
        {"scale": "rows", "shift": "finite", "margin": True, "smoothing": True}, rows=3, classes=4
    )
    leaves = [constant.requires_grad_() for constant in constants]
    names = ("scale", "shift", "margin", "smoothing")
    assert torch.autograd.gradcheck(
        lambda *parts: affine_nll(logits, target, **dict(zip(names, parts, strict=True))), leaves, check_batched_grad=False
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "classes"), [(3, 2), (1024, 2), (700, 3), (513, 10), (300, 15), (400, 16), (40, 100), (0, 3)])
def test_narrow_matrices_are_turned_over_and_nothing_else_changes(rows, classes, dtype):
    stream = torch.Generator().manual_seed(rows + classes)
    logits = (30 * torch.randn(rows, classes, generator=stream, dtype=dtype)).requires_grad_()
    target, grad = torch.randint(classes, (rows,), generator=stream), torch.randn(rows, generator=stream, dtype=dtype)
    own, reference = nll.cross_entropy(logits, target), F.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(own, reference)
    found, wanted = (torch.autograd.grad(values @ grad, logits, create_graph=True)[0] for values in (own, reference))
    torch.testing.assert_close(found, wanted)
    again, also = (torch.autograd.grad(value.pow(2).sum(), logits)[0] for value in (found, wanted))
    torch.testing.assert_close(again, also)


def test_narrow_matrices_may_have_infinite_scores_and_forward_derivatives():
    logits, target = torch.randn(900, 4), torch.arange(900) % 3
    logits[:, 3] = -torch.inf
    torch.testing.assert_close(nll.cross_entropy(logits, target), F.cross_entropy(logits, target, reduction="none"))
    logits, along = torch.randn(900, 4), torch.randn(900, 4)
    values, change = torch.func.jvp(lambda z: nll.cross_entropy(z, target), (logits,), (along,))
    torch.testing.assert_close(values, F.cross_entropy(logits, target, reduction="none"))
    residual = logits.softmax(1) - F.one_hot(target, 4)
    torch.testing.assert_close(change, (residual * along).sum(1))
    many = torch.randn(3, 900, 4)
    torch.testing.assert_close(
        torch.vmap(lambda z: nll.cross_entropy(z, target))(many),
        torch.stack([F.cross_entropy(z, target, reduction="none") for z in many]),
    )
