"""Pictures of faces: drawn ones, which need no download, and two sets that scikit-learn fetches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from steelyard.core.errors import ArgumentError, DataError

SETS = ("drawn-faces", "olivetti", "lfw")
"""Names that `face_set` knows."""
GROUPS = ("bare", "masked")
"""Of drawn faces: the second wear a mask over mouth and nose, and are harder to tell apart."""


class Faces(NamedTuple):
    """Pictures with their identities.

    Attributes:
        images: uint8 `[N, H, W]` or `[N, H, W, 3]`.
        identities: names `[N]`.
        groups: of each picture `[N]`; None for none.
    """

    images: np.ndarray
    identities: np.ndarray
    groups: np.ndarray | None


def face_set(name: str) -> Faces:
    """A set by name.

    Args:
        name: "drawn-faces": 80 drawn identities of two groups; "olivetti": 40 persons, 10 photographs each (AT&T Laboratories
            Cambridge); "lfw": persons with 5 photographs or more of Labeled Faces in the Wild. The last two are downloaded by
            scikit-learn when they are first used.

    Raises:
        DataError: the set cannot be downloaded.
        ArgumentError: no such set.
    """
    if name == "drawn-faces":
        return drawn_faces()
    if name not in SETS:
        raise ArgumentError("name", " or ".join(map(repr, SETS)), repr(name))
    from sklearn import datasets

    try:
        if name == "olivetti":
            found = datasets.fetch_olivetti_faces()
            labels = np.array([f"person {number:02d}" for number in found.target])
            return Faces(np.round(found.images * 255).astype(np.uint8), labels, None)
        found = datasets.fetch_lfw_people(min_faces_per_person=5, resize=0.5)
    except OSError as error:  # urllib's errors are such
        raise DataError(
            f"the set '{name}' is downloaded by scikit-learn when it is first used, and that failed ({error}): connect to the "
            "network once, or give a folder of pictures (identity/name.png)"
        ) from None
    pixels = found.images if found.images.max() > 1 else found.images * 255
    return Faces(np.round(pixels).astype(np.uint8), np.asarray(found.target_names)[found.target], None)


def drawn_faces(identities: int = 80, pictures: int = 12, *, size: int = 28, masked: float = 0.5, seed: int = 0) -> Faces:
    """Drawn faces: each identity has features of its own, each picture another pose, light, expression and noise.

    Args:
        identities: how many, 1 or more.
        pictures: of each, 1 or more.
        size: pixels of a side, 8 or more.
        masked: share of the identities that wear a mask, in [0, 1].
        seed: of all that is drawn.

    Raises:
        ArgumentError: a number out of range.

    Example:
        >>> faces = drawn_faces(4, 3)
        >>> faces.images.shape, faces.identities[:4].tolist(), sorted(set(faces.groups.tolist()))
        ((12, 28, 28), ['face 00', 'face 00', 'face 00', 'face 01'], ['bare', 'masked'])
    """
    for argument, value, least in (("identities", identities, 1), ("pictures", pictures, 1), ("size", size, 8)):
        if value < least:
            raise ArgumentError(argument, f"{least} or more", value)
    if not 0 <= masked <= 1:
        raise ArgumentError("masked", "from 0 to 1", masked)
    draws = np.random.default_rng(seed)
    features = draws.uniform(-1, 1, (identities, 10))
    hidden = np.arange(identities) % 2 == 1 if masked == 0.5 else np.arange(identities) < round(masked * identities)
    rows = np.repeat(np.arange(identities), pictures)
    images = np.stack([_drawn(features[row], bool(hidden[row]), draws, size) for row in rows])
    names = np.array([f"face {row:02d}" for row in rows])
    return Faces(images, names, np.array(GROUPS)[hidden[rows].astype(int)])


def _drawn(own: np.ndarray, hidden: bool, draws: np.random.Generator, size: int) -> np.ndarray:
    """One picture `[size, size]`."""
    wide, high, apart, eye, brow, nose, mouth, lips, hair, skin = own
    turn, shift = draws.normal(0, 0.06), draws.normal(0, 0.05, 2)
    zoom, smile = 1 + draws.normal(0, 0.05), draws.normal(0, 0.25)
    y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
    x, y = (x - shift[0]) / zoom, (y - shift[1]) / zoom
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    picture = np.full((size, size), 0.15)

    def paint(inside: np.ndarray, shade: float) -> None:
        picture[:] = np.where(inside > 0, shade, picture)

    face = 1 - (x / (0.62 + 0.12 * wide)) ** 2 - (y / (0.8 + 0.1 * high)) ** 2
    paint(face, 0.65 + 0.2 * skin)
    paint(np.minimum(face, -y - 0.45 - 0.15 * hair), 0.3 - 0.15 * hair)
    for side in (-1, 1):
        away = x - side * (0.27 + 0.08 * apart)
        paint(1 - (away / (0.11 + 0.03 * eye)) ** 2 - ((y + 0.12) / (0.07 + 0.02 * eye)) ** 2, 0.05)
        paint(0.035 - np.abs(y + 0.3 + 0.05 * brow + 0.15 * brow * side * away) - 0.1 * (np.abs(away) > 0.17), 0.2)
    paint(0.05 + 0.03 * nose - np.abs(x) - 0.2 * (np.abs(y - 0.12 - 0.05 * nose) > 0.16), 0.45)
    curve = y - 0.42 - 0.06 * mouth + (0.5 * smile) * x**2
    paint(0.05 + 0.02 * lips - np.abs(curve) - 0.3 * (np.abs(x) > 0.22 + 0.08 * mouth), 0.25 + 0.1 * lips)
    if hidden:
        paint(np.minimum(face, y - 0.05), 0.9)
    light = 1 + draws.normal(0, 0.1) + draws.normal(0, 0.15) * x
    noisy = picture * light + draws.normal(0, 0.06, picture.shape)
    pixels: np.ndarray = np.clip(np.round(noisy * 255), 0, 255).astype(np.uint8)
    return pixels
