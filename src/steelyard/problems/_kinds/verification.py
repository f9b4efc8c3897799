"""Verification: are two pictures of one identity?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.core.seeds import derive
from steelyard.core.task import Task
from steelyard.data.encoded import Encoded
from steelyard.data.faces import SETS, face_set
from steelyard.data.files import reading, require_file
from steelyard.data.image_classes import has_image_classes, read_image_classes
from steelyard.data.memory import as_array, as_labels, check_array, same_length
from steelyard.data.raw import Part, Raw
from steelyard.data.tabular import read_table
from steelyard.problems._settings import ProblemSettings
from steelyard.tasks.verification import VerificationTask, draw_pairs

USED = (
    "valid_fraction", "test_fraction", "seed", "factor", "profile", "class_order", "noise", "noise_kind", "model",
    "model_settings", "resize", "max_rows", "residence", "workers",
)  # fmt: skip


@dataclass(frozen=True)
class Pictures:
    """Pictures as read.

    Attributes:
        name: shown in tables.
        inputs: encoded images, or an array `[N, ...]`.
        identities: names `[N]`.
        groups: group of each identity, by name; empty for none.
        notes: sentences about the data.
    """

    name: str
    inputs: Any
    identities: np.ndarray
    groups: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Some:
    """Some of the images of a set.

    Attributes:
        whole: the set.
        rows: which `[M]`.
    """

    whole: Encoded
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, row: int) -> bytes:
        """The bytes of an image."""
        return self.whole.read(int(self.rows[row]))

    def name(self, row: int) -> str:
        """What to call it in messages."""
        return self.whole.name(int(self.rows[row]))


def verification(
    data: Any,
    settings: ProblemSettings,
    *,
    groups: str = "",
    pairs: int = 3000,
    unseen: float = 0.5,
    min_images: int = 2,
    group_factor: float = 1.0,
    impostors: Literal["any", "group"] = "any",
) -> Task:
    """Pairs of pictures of identities that were not trained on: is it one and the same?

    Some identities are trained on, as classes; of the others pairs are drawn, in folds that share no identity, as in the
    protocol of LFW. `--factor` makes the training pictures of an identity fewer and fewer, `group_factor` the training
    identities of a group.

    Args:
        data: a folder or zip archive of pictures (identity/name.png, or group/identity/name.png), an `.npz` with X, y and
            perhaps groups, (X, y) or (X, y, groups) in Python, or "drawn-faces", "olivetti" or "lfw".
        settings: how the data become a problem.
        groups: "folder" for the folder that an identity's folder is in; or a table with columns `identity` and `group`.
        pairs: genuine pairs, and impostor pairs, at most.
        unseen: share of the identities (of each group) that are not trained on, in (0, 1).
        min_images: identities with fewer pictures are left out, 2 or more.
        group_factor: training identities of the first group over those of the last, 1 or more; exponential between, in
            alphabetical order of the groups.
        impostors: of two identities of "any" groups, or of one "group".

    Raises:
        SteelyardError: too few identities or pictures for pairs, and anything else that keeps the data from being learnt from.

    Reference:
        Huang, Ramesh, Berg, Learned-Miller: Labeled faces in the wild, University of Massachusetts TR 07-49, 2007.
    """
    settings.refuse_others("pictures to verify", USED)
    for argument, holds, expected, value in (
        ("unseen", 0 < unseen < 1, "a share between 0 and 1", unseen),
        ("min_images", min_images >= 2, "2 or more, as a pair has two pictures", min_images),
        ("group_factor", 1 <= group_factor < np.inf, "a number of 1 or more", group_factor),
    ):
        if not holds:
            raise ArgumentError(argument, expected, value)
    found = _enough(_grouped(_read(data), groups), min_images)
    if not found.groups and (group_factor > 1 or impostors == "group"):
        named = "group_factor" if group_factor > 1 else "impostors"
        raise ArgumentError(named, "given with groups of identities (groups=folder, or a table)", "no groups")
    train, other = _identities(found, unseen, settings.seed)
    train, notes = _fewer(train, found.groups, group_factor, settings.seed)
    return _task(replace(found, notes=(*found.notes, *notes)), train, other, settings, pairs, impostors == "group")


def files_beside(data: Any, *, groups: str = "", **_: Any) -> tuple[str, ...]:
    """The table of groups."""
    return () if groups == "folder" else (groups,)


def _read(data: Any) -> Pictures:
    if isinstance(data, str) and data in SETS:
        images, identities, groups = face_set(data)
        return Pictures(data, images, identities, _by_identity(identities, groups))
    if isinstance(data, str | Path):
        path = Path(data)
        if has_image_classes(path):
            raw = read_image_classes(path)
            if set(raw.parts) != {"train"}:
                raise DataError(f"{path} has train and test folders: verification cuts identities itself, so give one folder")
            return Pictures(raw.name, raw.parts["train"].inputs, raw.parts["train"].labels, {}, raw.notes)
        return _read_npz(path)
    if isinstance(data, tuple | list) and len(data) in (2, 3):
        groups = as_labels(data[2]) if len(data) == 3 else None
        return _of_arrays("data", as_array(data[0]), as_labels(data[1]), groups)
    raise ArgumentError("data", "a path, (X, y), (X, y, groups) or a name", type(data).__name__)


def _read_npz(path: Path) -> Pictures:
    if not path.exists() and path.suffix == "":
        raise UnknownName("set of faces", str(path), SETS)
    require_file(path)
    if path.suffix.lower() != ".npz":
        raise DataError(f"{path} is neither a folder or zip archive of pictures nor an .npz with X and y")
    with reading(path), np.load(path, allow_pickle=False) as archive:
        names = {name.lower(): name for name in archive.files}
        for name in ("x", "y"):
            if name not in names:
                raise DataError(f"{path} has no array '{name}'; it has: {', '.join(archive.files)}")
        groups = archive[names["groups"]] if "groups" in names else None
        return _of_arrays(path.stem, archive[names["x"]], archive[names["y"]], groups)


def _of_arrays(name: str, inputs: Any, labels: np.ndarray, groups: np.ndarray | None) -> Pictures:
    check_array(inputs, "X")
    same_length(inputs, labels, name)
    if groups is not None and len(groups) != len(labels):
        raise DataError(f"groups has {len(groups)} entries and y {len(labels)}: give a group for each row")
    identities = np.array([str(label) for label in labels.tolist()], dtype=object)
    return Pictures(name, inputs, identities, _by_identity(identities, groups))


def _by_identity(identities: np.ndarray, groups: np.ndarray | None) -> dict[str, str]:
    """The group of each identity, which must be one."""
    found: dict[str, str] = {}
    for identity, group in zip(identities.tolist(), [] if groups is None else groups.tolist(), strict=groups is not None):
        if found.setdefault(identity, str(group)) != str(group):
            raise DataError(f"identity '{identity}' is in two groups, '{found[identity]}' and '{group}': give it one")
    return found


def _grouped(found: Pictures, groups: str) -> Pictures:
    """With the groups that were asked for."""
    if not groups:
        return found
    names = sorted(set(found.identities.tolist()))
    if groups == "folder":
        if not all("/" in str(name) for name in names):
            raise DataError("groups=folder needs pictures as group/identity/name.png; some identities are in no folder")
        return replace(found, groups={name: name.rpartition("/")[0] for name in names})
    table = read_table(Path(groups))
    for column in ("identity", "group"):
        if column not in table.columns:
            raise UnknownName("column", column, list(table.columns))
    given = dict(zip(table["identity"].astype(str), table["group"].astype(str), strict=True))
    absent = [name for name in names if name not in given]
    if absent:
        raise DataError(f"{groups} says no group of identity '{absent[0]}'")
    return replace(found, groups={name: given[name] for name in names})


def _enough(found: Pictures, least: int) -> Pictures:
    """Without identities of too few pictures."""
    names, codes, sizes = np.unique(found.identities, return_inverse=True, return_counts=True)
    few = sizes < least
    if not few.any():
        return found
    if few.all():
        raise DataError(
            f"there are no pairs of one identity: none of the {len(names)} identities of '{found.name}' has {least} pictures"
        )
    kept = np.flatnonzero(~few[codes])
    note = f"{int(few.sum())} of {len(names)} identities have fewer than {least} pictures and were left out"
    groups = {str(name): found.groups[name] for name in names[~few]} if found.groups else {}
    return Pictures(found.name, _some(found.inputs, kept), found.identities[kept], groups, (*found.notes, note))


def _some(inputs: Any, rows: np.ndarray) -> Any:
    return inputs[rows] if isinstance(inputs, np.ndarray | torch.Tensor) else Some(inputs, rows)


def _identities(found: Pictures, unseen: float, seed: int) -> tuple[list[str], list[str]]:
    """Identities to train on and others, of each group alike."""
    draws = np.random.default_rng(derive(seed, "unseen"))
    names = sorted(set(found.identities.tolist()))
    train, other = list[str](), list[str]()
    for group in sorted({found.groups.get(name, "") for name in names}):
        own = [name for name in names if found.groups.get(name, "") == group]
        held = min(max(round(unseen * len(own)), 1), len(own) - 1) if len(own) > 1 else 0
        mixed = [own[place] for place in draws.permutation(len(own))]
        other += mixed[:held]
        train += mixed[held:]
    if len(train) < 2:
        raise DataError(f"'{found.name}' has {len(names)} identities with enough pictures: verification needs at least 6")
    return sorted(train), sorted(other)


def _fewer(train: list[str], groups: dict[str, str], factor: float, seed: int) -> tuple[list[str], list[str]]:
    """Fewer training identities of later groups, and a note on it."""
    names = sorted({groups.get(name, "") for name in train})
    if factor == 1 or len(names) < 2:
        return train, []
    draws, kept, told = np.random.default_rng(derive(seed, "groups")), list[str](), list[str]()
    most = min(sum(groups[name] == group for name in train) for group in names)
    for place, group in enumerate(names):
        own = [name for name in train if groups[name] == group]
        size = max(1, round(most * factor ** (-place / (len(names) - 1))))
        kept += [own[row] for row in draws.permutation(len(own))[:size]]
        told.append(f"{group} {size}")
    return sorted(kept), [f"training identities of the groups (group_factor={factor:g}): {', '.join(told)}"]


def _task(
    found: Pictures, train: list[str], other: list[str], settings: ProblemSettings, pairs: int, within: bool
) -> VerificationTask:
    """Both parts built as pictures of one kind, and the pairs."""
    from steelyard.problems._arrange import Arranged, arrange
    from steelyard.problems._load import built, prepared

    vectors = isinstance(found.inputs, np.ndarray | torch.Tensor) and found.inputs.ndim not in (3, 4)
    raws = {}
    for part, names in (("seen", train), ("unseen", other)):
        rows = np.flatnonzero(np.isin(found.identities, names))
        held = Part(_some(found.inputs, rows), found.identities[rows])
        raws[part] = Raw(found.name, "arrays" if vectors else "images", {"train": held}, target="identity", notes=found.notes)
    arranged = arrange(prepared(raws["seen"], settings), settings)
    inner = built(raws["seen"], arranged, settings)
    inner.facts, inner.noise_transition = dict(arranged.facts), arranged.transition
    identity = raws["unseen"].parts["train"].labels
    labels, codes = np.unique(identity.astype(str), return_inverse=True)
    everything, target = {"train": torch.arange(len(codes))}, {"train": torch.from_numpy(codes.astype(np.int64))}
    whole = Arranged(tuple(labels.tolist()), {"train": "train"}, everything, target)
    source = built(raws["unseen"], whole, settings.replace(model="auto", model_settings={})).splits["train"]
    known = sorted({found.groups[name] for name in (*train, *other)}) if found.groups else []
    of = np.array([known.index(found.groups[name]) for name in identity.tolist()]) if known else None
    drawn = draw_pairs(identity.astype(str), pairs, groups=of, within=within, seed=settings.seed)
    classes = torch.tensor([known.index(found.groups[name]) for name in arranged.class_names]) if known else None
    return VerificationTask(inner, source, drawn, groups=classes, group_names=known)
