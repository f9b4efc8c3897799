"""De-biased centres and calibrated features: the mathematics of debLoRA, for features from anywhere.

centres, assigned = cluster_centres(features, 32)                       # labels are not looked at
towards, shares = debiased_centres(centres, assigned, target, classes)
moved = calibrate(features, target, towards, strength_by_ratio(class_counts))
"""

from __future__ import annotations

import torch
from torch import Tensor

ITERATIONS = 300
STARTS = 4


def cluster_centres(
    features: Tensor, clusters: int = 32, *, scale: bool = True, smallest: int = 1, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Cluster features by K-means, without their labels.

    Args:
        features: `[N, D]`.
        clusters: K, 1 or more; no more than there are different rows are made.
        scale: cluster after dividing each dimension by its standard deviation. The centres are means of the features as they
            are in both cases.
        smallest: clusters of fewer rows are dissolved: their rows go to the nearest centre of another one, in the space that
            was clustered in. 1 keeps all; where none is large enough, all are kept.
        seed: of K-means.

    Returns:
        Centres `[K', D]`, float64, and the cluster of each row `[N]`, 0 to K' - 1.

    Example:
        >>> centres, assigned = cluster_centres(torch.tensor([[0.0], [1.0], [9.0], [9.0]]), 2)
        >>> sorted(centres.flatten().tolist()), assigned[2] == assigned[3]
        ([0.5, 9.0], tensor(True))
    """
    from sklearn.cluster import KMeans

    exact = features.detach().cpu().double()
    spread = exact.std(0, correction=0)
    space = (exact - exact.mean(0)) / torch.where(spread > 1e-12, spread, 1.0) if scale else exact
    most = len(torch.unique(space, dim=0))
    if clusters >= most:  # a row each, equal ones together: nothing to search for
        assigned = torch.unique(space, dim=0, return_inverse=True)[1]
    else:
        means = KMeans(clusters, n_init=STARTS, max_iter=ITERATIONS, random_state=seed)
        assigned = torch.from_numpy(means.fit_predict(space.numpy())).long()
    sizes = torch.bincount(assigned)
    large = (sizes >= smallest).nonzero().flatten()
    if 0 < len(large) < len(sizes):
        near = torch.cdist(space, group_means(space, assigned, len(sizes))[large]).argmin(1)
        stays = sizes[assigned] >= smallest
        assigned = torch.where(stays, assigned, large[near])
    assigned = torch.unique(assigned, return_inverse=True)[1]
    return group_means(exact, assigned, int(assigned.max()) + 1), assigned


def debiased_centres(centres: Tensor, assigned: Tensor, target: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Where the rows of each class are drawn to: a mean of cluster centres, weighted by where the class's rows lie.

    Formula:
        `mu_c = sum_k w_ck mu_k`, `w_ck = #{i in c : a_i = k} / n_c`; a class without rows gets the shares of all rows.

    Args:
        centres: mu `[K, D]`.
        assigned: cluster of each row `[N]`.
        target: class of each row `[N]`.
        classes: C.

    Returns:
        Centres of the classes `[C, D]` and shares w `[C, K]`, each row of which sums to 1.

    Example:
        >>> debiased_centres(torch.tensor([[0.0], [3.0]]), torch.tensor([0, 0, 1]), torch.tensor([0, 0, 0]), 1)[0]
        tensor([[1.]], dtype=torch.float64)
    """
    clusters = len(centres)
    table = torch.bincount(target.cpu() * clusters + assigned.cpu(), minlength=classes * clusters)
    counts = table.reshape(classes, clusters).double()
    counts = torch.where(counts.sum(1, keepdim=True) > 0, counts, counts.sum(0))
    shares = counts / counts.sum(1, keepdim=True)
    return shares @ centres.cpu().double(), shares


def strength_by_ratio(class_counts: Tensor, knee: float = 10.0) -> Tensor:
    """How far the rows of each class are drawn: not at all in large classes, nearly all the way in tiny ones.

    Formula:
        `alpha_c = 1 - min(1, knee / gamma_c)`, `gamma_c = n_max / n_c`; a class without rows counts as one row.

    Args:
        class_counts: n `[C]`.
        knee: ratio up to which nothing is moved, above 0.

    Returns:
        alpha `[C]` in [0, 1), float64.

    Example:
        >>> strength_by_ratio(torch.tensor([100, 10, 5, 1]))
        tensor([0.0000, 0.0000, 0.5000, 0.9000], dtype=torch.float64)
    """
    counts = class_counts.detach().cpu().double().clamp_min(1)
    return 1 - (knee * counts / counts.max()).clamp_max(1)


def calibrate(features: Tensor, target: Tensor, towards: Tensor, strength: Tensor) -> Tensor:
    """Draw each row towards the centre of its class.

    Formula:
        `z~ = (1 - alpha_c) z + alpha_c mu_c`

    Args:
        features: z `[N, D]`.
        target: c `[N]`.
        towards: mu `[C, D]`.
        strength: alpha `[C]` in [0, 1].

    Returns:
        `[N, D]` in the dtype and on the device of the features; rows of strength 0 keep every bit.

    Example:
        >>> calibrate(torch.tensor([[2.0], [4.0]]), torch.tensor([0, 1]), torch.zeros(2, 1), torch.tensor([0.0, 0.25]))
        tensor([[2.],
                [3.]])
    """
    place = target.cpu()
    alpha = strength.cpu().double()[place].unsqueeze(1)
    exact = features.detach().cpu().double()
    moved = torch.where(alpha > 0, (1 - alpha) * exact + alpha * towards.cpu().double()[place], exact)
    return moved.to(features)


def displaced(features: Tensor, moved: Tensor, generator: torch.Generator) -> Tensor:
    """Rows moved as far as in `moved`, in random directions: what remains of a calibration when its aim is taken away.

    Args:
        features: z `[N, D]`.
        moved: z~ `[N, D]`.
        generator: drawn from, on the CPU.

    Example:
        >>> z, other = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
        >>> displaced(z, other, torch.Generator().manual_seed(0)).norm()
        tensor(5.)
    """
    direction = torch.randn(features.shape, generator=generator, dtype=torch.float64)
    direction = direction / torch.linalg.vector_norm(direction, dim=1, keepdim=True)
    exact = features.detach().cpu().double()
    length = torch.linalg.vector_norm(moved.detach().cpu().double() - exact, dim=1, keepdim=True)
    return torch.where(length > 0, exact + length * direction, exact).to(features)


def group_means(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """Mean of the rows of each group `[G, D]`; 0 for a group without rows.

    Example:
        >>> group_means(torch.tensor([[1.0], [3.0]]), torch.tensor([1, 1]), 2).tolist()
        [[0.0], [2.0]]
    """
    sums = values.new_zeros(groups, values.shape[1]).index_add_(0, group, values)
    return sums / torch.bincount(group, minlength=groups).clamp_min(1).to(values).unsqueeze(1)


def purity(assigned: Tensor, target: Tensor) -> float:
    """Share of rows that belong to the largest class of their cluster, in (0, 1]; 1 where no cluster mixes classes.

    Example:
        >>> purity(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]))
        0.75
    """
    table = torch.zeros(int(assigned.max()) + 1, int(target.max()) + 1)
    table.index_put_((assigned.cpu(), target.cpu()), torch.ones(len(target)), accumulate=True)
    return float(table.max(1).values.sum() / len(target))


def class_table(assigned: Tensor, target: Tensor, classes: int) -> Tensor:
    """Rows of each class in each cluster `[K, C]`, int64.

    Args:
        assigned: cluster of each row `[N]`.
        target: class of each row `[N]`.
        classes: C.

    Example:
        >>> table = class_table(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]), 2)
        >>> table.tolist(), entropy(table / table.sum(1, keepdim=True)).tolist()[1]
        ([[2, 1], [0, 1]], 0.0)
    """
    clusters = int(assigned.max()) + 1
    table = torch.bincount(assigned.cpu() * classes + target.cpu(), minlength=clusters * classes)
    return table.reshape(clusters, classes)


def own_shares(assigned: Tensor, target: Tensor, shares: Tensor) -> Tensor:
    """Of the clusters that a class's rows lie in, the share that are its own rows `[C]`; NaN for a class without rows.

    1 means that its clusters hold no other class, so that its centre is its own mean and a calibration only shrinks it.

    Args:
        assigned: cluster of each row `[N]`.
        target: class of each row `[N]`.
        shares: w `[C, K]` of `debiased_centres`.

    Example:
        >>> assigned, target = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
        >>> own_shares(assigned, target, debiased_centres(torch.zeros(2, 1), assigned, target, 2)[1])
        tensor([0.5000, 0.7500], dtype=torch.float64)
    """
    classes, clusters = shares.shape
    table = torch.bincount(target.cpu() * clusters + assigned.cpu(), minlength=classes * clusters).reshape(classes, clusters)
    seen = table.sum(1) > 0
    return torch.where(seen, (shares * table / table.sum(0).clamp_min(1)).sum(1), torch.nan)


def entropy(shares: Tensor) -> Tensor:
    """Entropy of each row of shares, in nats: 0 where a class lies in one cluster, or a cluster holds one class.

    Example:
        >>> entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
        tensor([0.0000, 0.6931])
    """
    found: Tensor = torch.special.xlogy(shares, shares).sum(1).abs()
    return found
