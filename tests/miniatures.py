"""Miniature data sets: a few tiny items in each set's exact file format and place.

In:   a project's root folder; how many items.
Out:  the set's folder, root/data/...; colours of an image follow its label, so that a net has something to learn.
Not here: any test; what layers must make of the files.
Of n items the first n - 2 are for training, the last two for validation or test; the same on every machine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

SIZE = (40, 50)  # of the photographs: H, W of the first item; the next ones are a little larger
NYUD_SIZE = (42, 56)
SIFTFLOW_SIZE = (40, 40)
SCENES = "spatial_envelope_256x256_static_8outdoorcategories"
# Position of the 59 classes in the list of 459, in the order of the nets' outputs; three go by another name there.
CONTEXT_59 = {
    "aeroplane": 2, "bicycle": 23, "bird": 25, "boat": 31, "bottle": 34, "bus": 45, "car": 59, "cat": 65, "chair": 72,
    "cow": 98, "diningtable": 397, "dog": 113, "horse": 207, "motorbike": 258, "person": 284, "pottedplant": 308,
    "sheep": 347, "sofa": 368, "train": 416, "tvmonitor": 427, "bag": 9, "bed": 18, "bench": 22, "book": 33,
    "building": 44, "cabinet": 46, "ceiling": 68, "clothes": 80, "computer": 85, "cup": 104, "door": 115, "fence": 144,
    "floor": 158, "flower": 159, "food": 162, "grass": 187, "ground": 189, "keyboard": 220, "light": 232,
    "mountain": 259, "mouse": 260, "curtain": 105, "platform": 296, "sign": 355, "plate": 295, "road": 324,
    "rock": 326, "shelves": 349, "sidewalk": 354, "sky": 360, "snow": 366, "bedcloth": 19, "track": 415, "tree": 420,
    "truck": 424, "wall": 440, "water": 445, "window": 454, "wood": 458}
CONTEXT_ALIASES = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}
CONTEXT_33 = (*list(CONTEXT_59)[:20], "sky", "grass", "ground", "road", "building", "tree", "water", "mountain",
              "wall", "floor", "track", "keyboard", "ceiling")


def voc(root: Path, n: int = 6, size: tuple[int, int] = SIZE) -> Path:
    """Write data/pascal/VOC2011: JPEGs, palette PNGs with void borders, splits train, val and seg11valid."""
    folder, rng = Path(root) / "data/pascal/VOC2011", np.random.RandomState(1)
    ids = [f"2007_{33 + 6 * i:06d}" for i in range(n)]
    for i, name in enumerate(ids):
        label = scene(rng, _size(size, i), range(21))
        save_jpeg(folder / "JPEGImages" / f"{name}.jpg", photograph(rng, label))
        save_palette(folder / "SegmentationClass" / f"{name}.png", with_void_edges(label, 255))
    for split, names in (("train", ids[:-2]), ("val", ids[-2:]), ("seg11valid", ids[-2:])):
        write_lines(folder / f"ImageSets/Segmentation/{split}.txt", names)
    return folder


def sbdd(root: Path, n: int = 6, size: tuple[int, int] = SIZE) -> Path:
    """Write data/sbdd/dataset: JPEGs, cls/ID.mat with GTcls.Segmentation (no void), splits train and val."""
    folder, rng = Path(root) / "data/sbdd/dataset", np.random.RandomState(2)
    ids = [f"2008_{2 + 7 * i:06d}" for i in range(n)]
    for i, name in enumerate(ids):
        label = scene(rng, _size(size, i), range(21))
        save_jpeg(folder / "img" / f"{name}.jpg", photograph(rng, label))
        present = np.unique(label)[1:]
        save_mat(folder / "cls" / f"{name}.mat",
                 GTcls={"Boundaries": np.zeros((20, 1), object), "Segmentation": label,
                        "CategoriesPresent": present[:, np.newaxis]})
    write_lines(folder / "train.txt", ids[:-2])
    write_lines(folder / "val.txt", ids[-2:])
    return folder


def context(root: Path, n: int = 6, size: tuple[int, int] = SIZE) -> Path:
    """Write data/pascal-context (.mat with LabelMap, three lists of labels) and data/pascal/VOC2010."""
    folder, devkit = Path(root) / "data/pascal-context", Path(root) / "data/pascal/VOC2010"
    rng = np.random.RandomState(3)
    ids = [f"2008_{8 + 9 * i:06d}" for i in range(n)]
    numbers = [*CONTEXT_59.values(), 1, 3, 459]  # some that none of the 59 classes has
    for i, name in enumerate(ids):
        label = scene(rng, _size(size, i), numbers).astype(np.uint16)
        save_jpeg(devkit / "JPEGImages" / f"{name}.jpg", photograph(rng, label))
        save_mat(folder / "trainval" / f"{name}.mat", LabelMap=label)
    for split, names in (("train", ids[:-2]), ("val", ids[-2:]), ("trainval", ids)):
        write_lines(devkit / f"ImageSets/Main/{split}.txt", names)
    named = {number: CONTEXT_ALIASES.get(name, name) for name, number in CONTEXT_59.items()}
    write_lines(folder / "labels.txt", [f"{k}: {named.get(k, f'thing{k}')}" for k in range(1, 460)])
    for file, names in (("59_labels.txt", CONTEXT_59), ("33_labels.txt", CONTEXT_33)):
        write_lines(folder / file, [f"{k}: {name}" for k, name in enumerate(names, start=1)])
    return folder


def nyud(root: Path, n: int = 6, size: tuple[int, int] = NYUD_SIZE) -> Path:
    """Write data/nyud: colour, depth (16 bit, millimetres) and HHA PNGs, segmentation .mat with 0 ... 40."""
    folder, rng = Path(root) / "data/nyud", np.random.RandomState(4)
    ids = [str(5001 + 11 * i) for i in range(n)]
    for name in ids:
        label = with_void_edges(scene(rng, size, range(1, 41)), 0)
        depth = 900 + 90 * label.astype(np.int64) + rng.randint(0, 40, size)
        save_png(folder / "data/images" / f"img_{name}.png", photograph(rng, label))
        save_png(folder / "data/depth" / f"img_{name}.png", depth.astype(np.uint16))
        save_png(folder / "data/hha" / f"img_{name}.png", photograph(rng, label + 100))
        save_mat(folder / "segmentation" / f"img_{name}.mat", segmentation=label)
    for split, names in (("train", ids[:-3]), ("val", ids[-3:-2]), ("trainval", ids[:-2]), ("test", ids[-2:])):
        write_lines(folder / f"{split}.txt", names)
    return folder


def siftflow(root: Path, n: int = 6, size: tuple[int, int] = SIFTFLOW_SIZE) -> Path:
    """Write data/sift-flow: JPEGs, .mat files with S: semantic 0 (void) ... 33, geometric -1 (void), 1, 2, 3."""
    folder, rng = Path(root) / "data/sift-flow", np.random.RandomState(5)
    ids = [f"coast_bea{1 + i}" for i in range(n)]
    for name in ids:
        semantic = scene(rng, size, range(1, 34))
        geometric = (1 + semantic % 3).astype(np.int16)
        save_jpeg(folder / "Images" / SCENES / f"{name}.jpg", photograph(rng, semantic))
        save_mat(folder / "SemanticLabels" / SCENES / f"{name}.mat", S=with_void_edges(semantic, 0))
        save_mat(folder / "GeoLabels" / SCENES / f"{name}.mat", S=with_void_edges(geometric, -1))
    write_lines(folder / "trainval.txt", ids[:-2])
    write_lines(folder / "test.txt", ids[-2:])
    return folder


def scene(rng: np.random.RandomState, size: tuple[int, int], values) -> np.ndarray:
    """Draw (H, W) labels: the first value as ground, four rectangles of others on it; uint8 if they fit."""
    h, w = size
    values = np.asarray(list(values))
    label = np.full(size, values[0], np.uint8 if values.max() < 256 else np.uint16)
    for value in rng.choice(values[1:], 4, replace=False):
        top, left = rng.randint(0, h - 12), rng.randint(0, w - 12)
        label[top:top + rng.randint(8, h // 2), left:left + rng.randint(8, w // 2)] = value
    return label


def photograph(rng: np.random.RandomState, label: np.ndarray) -> np.ndarray:
    """Paint (H, W, 3) uint8: each label in a colour of its own, with noise."""
    flat = label.astype(np.int64)
    colours = np.stack([flat * 67 % 199, flat * 31 % 211, flat * 149 % 223], axis=-1)
    return np.clip(colours + rng.randint(0, 33, colours.shape), 0, 255).astype(np.uint8)


def with_void_edges(label: np.ndarray, void: int) -> np.ndarray:
    """Put `void` wherever a pixel's left or upper neighbour has another label."""
    edge = np.zeros(label.shape, bool)
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    edge[1:] |= label[1:] != label[:-1]
    return np.where(edge, np.array(void, label.dtype), label)


def write_lines(path: Path, lines) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def save_jpeg(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Save uint8 colours, or uint16 numbers, without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_palette(path: Path, label: np.ndarray) -> None:
    """Save (H, W) classes as a PNG with VOC's palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label).copy()
    image.putpalette([_voc_colour(k, channel) for k in range(256) for channel in range(3)])
    assert image.mode == "P"
    image.save(path)


def save_mat(path: Path, **variables: object) -> None:
    """Save a MATLAB 5 file, compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, variables, do_compression=True)


def _voc_colour(k: int, channel: int) -> int:
    return sum((k >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))


def _size(size: tuple[int, int], i: int) -> tuple[int, int]:
    return size[0] + i % 3, size[1] + 2 * (i % 2)
