"""Layer type WindowData: windows of images, drawn, padded and warped, against genuine Caffe and literal numbers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import caffe
from caffe._caffe.data.windows import Window, place
from caffe.proto import caffe_pb2
from tests.caffe.two_caffes import both, ours

RNG = np.random.RandomState(4)
SIZES = [(30, 40), (25, 21), (60, 33)]
IMAGES = [RNG.randint(0, 256, (*size, 3)).astype(np.uint8) for size in SIZES]
DRAWN = 'layer { name: "u" type: "DummyData" top: "u" dummy_data_param { shape { dim: 4 } ' \
        'data_filler { type: "uniform" } } }'


def windows(rows, columns):
    for _ in range(12):
        x1, x2 = sorted(RNG.randint(0, columns, 2))
        y1, y2 = sorted(RNG.randint(0, rows, 2))
        yield f"{RNG.randint(1, 5)} {RNG.rand():.3f} {x1} {y1} {x2} {y2}"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    lines = []
    for i, (rows, columns) in enumerate(SIZES):
        Image.fromarray(IMAGES[i]).save(folder / f"{i}.png")
        lines += [f"# {i}", f"{i}.png", "3", str(rows), str(columns), "12", *windows(rows, columns)]
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    mean = caffe_pb2.BlobProto(num=1, channels=3, height=22, width=24)
    mean.data.extend(RNG.uniform(0, 100, 3 * 22 * 24))
    (folder / "mean.binaryproto").write_bytes(mean.SerializeToString())
    return folder


def text(root, transform="crop_size: 16", data="batch_size: 4", source="list.txt", more=DRAWN):
    return (f'layer {{ name: "d" type: "WindowData" top: "data" top: "label" transform_param {{ {transform} }} '
            f'window_data_param {{ source: "{root}/{source}" root_folder: "{root}/" {data} }} }}\n{more}')


SETTINGS = [
    ("crop_size: 16", "batch_size: 8"), ("crop_size: 16 mirror: true", "batch_size: 8 context_pad: 3"),
    ("crop_size: 17 mirror: true mean_value: 100",
     'batch_size: 8 context_pad: 4 crop_mode: "square" fg_fraction: 0.6'),
    ("crop_size: 16 scale: 0.5", 'batch_size: 5 scale: 0.25 crop_mode: "square"'),
    ('crop_size: 20 mirror: true mean_file: "mean.binaryproto"',
     "batch_size: 6 context_pad: 2 cache_images: true fg_threshold: 0.7 bg_threshold: 0.3"),
    ('crop_size: 9 mean_file: "mean.binaryproto"', 'batch_size: 6 context_pad: 1 crop_mode: "square"'),
    ("crop_size: 12 mean_value: 1 mean_value: 2 mean_value: 3", "batch_size: 4 fg_fraction: 0"),
    ("crop_size: 4 mirror: true", "batch_size: 9 fg_fraction: 1 context_pad: 1"),
]


def test_windows_pixels_and_draws_are_genuine_caffes(root):
    jobs = [(text(root, *setting), phase, 3) for setting in SETTINGS for phase in (caffe.TRAIN, caffe.TEST)]
    ahead = text(root).replace("window_data_param", "data_param { prefetch: 2 } window_data_param")
    jobs.append((ahead, caffe.TEST, 2))
    old = (f'layers {{ name: "d" type: WINDOW_DATA top: "data" top: "label" window_data_param {{ source: '
           f'"{root}/list.txt" root_folder: "{root}/" scale: 0.5 crop_size: 6 mirror: true batch_size: 3 }} }}')
    both([*jobs, (old, caffe.TRAIN, 2)], root)


def test_a_window_is_literal(tmp_path):
    Image.fromarray(IMAGES[0]).save(tmp_path / "0.png")
    (tmp_path / "list.txt").write_text("# 0 0.png 3 30 40 2\n7 0.9 3 4 10 11\n5 0.2 0 0 15 15\n")
    job = (text(tmp_path, "crop_size: 8 mean_value: 10", "batch_size: 2 fg_fraction: 0.5 scale: 2", more=""), 1, 1)
    got = ours([job], tmp_path)
    assert got["0 0 label"].tolist() == [0, 7]  # background first, whatever class the file gives it
    assert np.array_equal(got["0 0 data"][1], (IMAGES[0][4:12, 3:11, ::-1].transpose(2, 0, 1) - np.float32(10)) * 2)
    half = IMAGES[0][:16, :16, ::-1].astype(int).reshape(8, 2, 8, 2, 3).sum((1, 3)) + 2 >> 2
    assert np.array_equal(got["0 0 data"][0], (half.transpose(2, 0, 1) - 10) * 2)


def test_context_beyond_the_image_is_placed_literally():
    corner = Window(0, 1, 0, 0, 7, 7)  # 8 x 8 at the corner; 2 of 8 pixels of context on each side
    # twice the size about (4, 4): -4 ... 12, 17 pixels for 8; 4 columns are missing left, 13 are there
    assert place(corner, 30, 40, 8, 2, False, False) == (0, 0, 12, 12, 6, 6, 2, 2)
    assert place(corner, 30, 40, 8, 2, False, True) == (0, 0, 12, 12, 6, 6, 2, 0)  # flipped: what lacks is right
    wide = Window(0, 1, 10, 10, 19, 13)  # 10 x 4: the square about it has 11 rows, as its ends are both inside
    assert place(wide, 30, 40, 8, 0, True, False) == (10, 7, 20, 17, 8, 8, 0, 0)
    assert place(wide, 30, 40, 8, 0, False, False) == (10, 10, 19, 13, 8, 8, 0, 0)


WINDOW = "1 0.9 0 0 3 3\n1 0.1 0 0 3 3\n"


@pytest.mark.parametrize(("transform", "data", "listed", "words"), [
    ("", "batch_size: 2", f"# 0 0.png 3 30 40 2 {WINDOW}", "crop_size must be positive"),
    ("crop_size: 8", "", f"# 0 0.png 3 30 40 2 {WINDOW}", "window_data_param.batch_size must be positive"),
    ("crop_size: 8", "batch_size: 2 context_pad: 4", f"# 0 0.png 3 30 40 2 {WINDOW}", "leaves nothing of crop_size 8"),
    ("crop_size: 8", "batch_size: 2 fg_fraction: 2", f"# 0 0.png 3 30 40 2 {WINDOW}", "between 0 and 1; got 2"),
    ("crop_size: 8", "batch_size: 2", "", "Window file is empty"),
    ("crop_size: 8", "batch_size: 2", f"# 0 0.png 3 30 40 1 {WINDOW}", "got '1', want '#'"),
    ("crop_size: 8", "batch_size: 2", f"# 0 0.png 3 30 40 3 {WINDOW}", "image 0: the file ends within it"),
    ("crop_size: 8", "batch_size: 2", f"# 1 0.png 3 30 40 2 {WINDOW}", "it has the number 1"),
    ("crop_size: 8", "batch_size: 2", "# 0 0.png 3 30 40 1 1 x 0 0 3 3", "image 0: could not convert"),
    ("crop_size: 8", "batch_size: 2", "# 0 0.png 3 30 40 1 0 0.9 0 0 3 3", "has the class 0"),
    ("crop_size: 8", "batch_size: 2", f"# 0 0.png 1 30 40 2 {WINDOW}", "says 1 channels"),
    ("crop_size: 8", "batch_size: 2", "# 0 0.png 3 30 40 1 1 0.9 0 0 3 3", "has no background window (threshold 0.5)"),
    ("crop_size: 8", "batch_size: 2", "# 0 0.png 3 30 40 1 1 0.1 0 0 3 3", "has no foreground window"),
    ("crop_size: 8", "batch_size: 9", "# 0 0.png 3 30 40 2 1 .9 0 0 40 3 1 .1 0 0 40 3", "not inside the image of 40"),
    ("crop_size: 8", "batch_size: 9 context_pad: 1", "# 0 0.png 3 30 40 2 1 .9 90 0 99 3 1 .1 90 0 99 3", "not inside"),
    ("crop_size: 8 mean_value: 1 mean_value: 2", "batch_size: 2", f"# 0 0.png 3 30 40 2 {WINDOW}", "got 2"),
    ('crop_size: 23 mean_file: "MEAN"', "batch_size: 2", f"# 0 0.png 3 30 40 2 {WINDOW}", "crops want 3 x 23 x 23"),
])
def test_bad_windows_and_settings_are_named(root, tmp_path, transform, data, listed, words):
    Image.fromarray(IMAGES[0]).save(tmp_path / "0.png")
    (tmp_path / "list.txt").write_text(listed)
    prototxt = text(tmp_path, transform.replace("MEAN", str(root / "mean.binaryproto")), data)
    (tmp_path / "net.prototxt").write_text(prototxt)
    with pytest.raises(RuntimeError, match=r"layer 'd' \(WindowData\): ") as found:
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).forward()
    assert words in str(found.value)


@pytest.mark.parametrize("cached", ["true", "false"])
def test_an_image_that_is_missing_is_named(tmp_path, cached):
    (tmp_path / "list.txt").write_text(f"# 0 gone.png 3 30 40 2 {WINDOW}")
    (tmp_path / "net.prototxt").write_text(text(tmp_path, data=f"batch_size: 2 cache_images: {cached}"))
    with pytest.raises(RuntimeError, match="Could not open or find file .*gone.png"):
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).forward()


def test_a_missing_list_is_named(tmp_path):
    (tmp_path / "net.prototxt").write_text(text(tmp_path))
    with pytest.raises(RuntimeError, match=r"layer 'd' \(WindowData\): Failed to open window file"):
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
