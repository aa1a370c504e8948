"""Layer type ImageData: listed image files on their way into blobs, against genuine Caffe and literal numbers."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

import caffe
from caffe._caffe.data.image_files import read_image, resize
from caffe._caffe.data.image_lists import split_line
from caffe.proto import caffe_pb2
from tests.caffe.two_caffes import both, ours

RNG = np.random.RandomState(8)
IMAGES = [RNG.randint(0, 256, (12, 14, 3)).astype(np.uint8) for _ in range(11)]
DRAWN = 'layer { name: "u" type: "DummyData" top: "u" dummy_data_param { shape { dim: 4 } ' \
        'data_filler { type: "uniform" } } }'


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    lines = []
    for i, pixels in enumerate(IMAGES):
        name = f"image {i}.png" if i % 2 else f"{i}.png"  # the last blank parts a line
        Image.fromarray(pixels).save(folder / name)
        lines.append(f"{name} {i * 3 - 4}\n")
    (folder / "list.txt").write_text("".join(lines))
    mean = caffe_pb2.BlobProto(num=1, channels=3, height=12, width=14)
    mean.data.extend(np.mean(IMAGES, 0).transpose(2, 0, 1).ravel())
    (folder / "mean.binaryproto").write_bytes(mean.SerializeToString())
    return folder


def text(root, data="", transform="", more=DRAWN, source="list.txt"):
    return (f'layer {{ name: "d" type: "ImageData" top: "data" top: "label" transform_param {{ {transform} }} '
            f'image_data_param {{ source: "{root}/{source}" root_folder: "{root}/" {data} }} }}\n{more}')


SETTINGS = [
    ("", ""), ("batch_size: 4", ""), ("batch_size: 4 shuffle: true", ""),
    ("batch_size: 3 is_color: false", "scale: 0.1"),
    ("batch_size: 3 new_height: 9 new_width: 20 shuffle: true", "crop_size: 7 mirror: true mean_value: 104.00699"),
    ("batch_size: 3 rand_skip: 7", "mirror: true"), ("batch_size: 5 rand_skip: 4 shuffle: true", "crop_size: 8"),
    ("batch_size: 2 new_height: 6 new_width: 7", "mean_value: 1 mean_value: 2 mean_value: 3"),
    ("batch_size: 3", 'mean_file: "mean.binaryproto" crop_size: 5 mirror: true scale: 0.017'),
    ("batch_size: 2 is_color: false shuffle: true new_height: 31 new_width: 5", "crop_size: 5 mirror: true"),
]
LISTS = {"plain": "0.png 7", "crlf": "0.png 7\r\n2.png -3\r\n", "none": "0.png\n2.png x\n", "wide": "0.png 12abc\n",
         "big": "0.png 4294967297\n2.png +5\n", "tab": "image 1.png \t9\n"}
SIZES = [(1, 1), (1, 5), (7, 1), (2, 2), (8, 10), (16, 24), (17, 23), (40, 31)]
COLORS = ("true", "false")
TARGETS = [(4, 5), (8, 12), (32, 48), (20, 33), (1, 1), (3, 100), (13, 1), (2, 2), (67, 27)]


def orders_and_draws(root):
    """Settings in both phases; the depth of reading ahead stands in data_param; legacy fields are upgraded."""
    texts = [text(root, *setting) for setting in SETTINGS]
    texts.append(text(root, "shuffle: true").replace("image_data_param", "data_param { prefetch: 1 } image_data_param"))
    texts.append(f'layers {{ name: "d" type: IMAGE_DATA top: "data" top: "label" image_data_param {{ source: '
                 f'"{root}/list.txt" root_folder: "{root}/" scale: 0.5 crop_size: 6 mirror: true batch_size: 2 }} }}')
    texts.append(f'layers {{ layer {{ name: "d" type: "images" source: "{root}/v0.txt" batchsize: 2 new_height: 5 '
                 'new_width: 6 shuffle_images: true rand_skip: 3 } top: "data" top: "label" }')
    lines = [f"{root}/{line}" for line in (root / "list.txt").read_text().splitlines(keepends=True)]
    (root / "v0.txt").write_text("".join(lines))
    return [(one, phase, 5) for one in texts for phase in (caffe.TRAIN, caffe.TEST)]


def lists(root):
    """Line ends, labels that are no numbers or too large, tabs."""
    for name, content in LISTS.items():
        (root / f"{name}.txt").write_bytes(content.encode())
    return [(text(root, more="", source=f"{name}.txt"), caffe.TEST, 3) for name in LISTS]


def sizes(root):
    """Resizing, and images of several sizes at batch_size 1."""
    for i, shape in enumerate(SIZES):
        Image.fromarray(RNG.randint(0, 256, (*shape, 3)).astype(np.uint8)).save(root / f"size{i}.png")
        (root / f"size{i}.txt").write_text(f"size{i}.png 0\n")
    (root / "sizes.txt").write_text("".join(f"size{i}.png {i}\n" for i in range(len(SIZES))))
    jobs = [(text(root, f"new_height: {height} new_width: {width} is_color: {color}", more="", source=f"size{i}.txt"),
             caffe.TEST, 1)
            for i in range(len(SIZES)) for j, (height, width) in enumerate(TARGETS) for color in [COLORS[(i + j) % 2]]]
    return [*jobs, (text(root, source="sizes.txt"), caffe.TEST, 11)]


def test_pixels_labels_order_and_draws_are_genuine_caffes(root):
    both([*orders_and_draws(root), *lists(root), *sizes(root)], root)


def test_a_line_is_parted_at_its_last_blank():
    assert split_line("a b.jpg -12") == ("a b.jpg", -12)
    assert split_line("a  3") == ("a ", 3)  # the name keeps its blanks
    assert split_line("a.jpg") == ("a.jpg", 0)  # Caffe: no label counts 0


def test_resizing_is_literal():
    image = np.array([[[0, 100], [50, 150]]], np.uint8)
    assert resize(image, 2, 2) is image
    assert resize(image, 1, 1).tolist() == [[[75]]]  # exactly half: the mean of four
    assert resize(image, 2, 4).tolist() == [[[0, 25, 75, 100], [50, 75, 125, 150]]]


def test_names_may_hold_any_bytes(tmp_path):
    name = os.fsdecode(b"\xe9t\xe9.png")
    try:
        Image.fromarray(IMAGES[0]).save(tmp_path / name)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 names only")
    (tmp_path / "list.txt").write_bytes(os.fsencode(name) + b" 5\n")
    got = ours([(text(tmp_path), caffe.TEST, 1)], tmp_path)
    assert np.array_equal(got["0 0 data"][0], IMAGES[0].transpose(2, 0, 1)[::-1]) and got["0 0 label"] == [5]


@pytest.mark.parametrize(("data", "transform", "listed", "words"), [
    ("new_height: 4", "", "0.png 1", "requires new_height and new_width to be set at the same time"),
    ("batch_size: 0", "", "0.png 1", "image_data_param.batch_size must be positive; got 0"),
    ("rand_skip: 4000", "", "0.png 1", "Not enough points to skip"),
    ("", "", "", "File is empty"),
    ("", "", "gone.png 1", "Could not load gone.png: Could not open or find file"),
    ("", "", "list.txt 1", "Could not decode the encoded image"),
    ("", "", "\n0.png 1", "Could not load "),
    ("", "", "a\0b 1", "Could not open or find file"),
    ("batch_size: 2", "", "0.png 1\nsmall.png 2", "need batch_size 1 or a crop_size"),
    ("", "crop_size: 13", "0.png 1", "smaller than crop_size 13"),
    ("", "mean_value: 1 mean_value: 2", "0.png 1", "as many as channels: 3; got 2"),
])
def test_bad_lists_and_settings_are_named(tmp_path, data, transform, listed, words):
    Image.fromarray(IMAGES[0]).save(tmp_path / "0.png")
    Image.fromarray(IMAGES[0][:5]).save(tmp_path / "small.png")
    (tmp_path / "list.txt").write_text(listed)
    (tmp_path / "net.prototxt").write_text(text(tmp_path, data, transform))
    caffe.set_random_seed(1)
    with pytest.raises(RuntimeError, match=r"layer 'd' \(ImageData\): ") as found:
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).forward()
    assert words in str(found.value)


def test_images_of_a_list_are_not_forced(tmp_path):
    # Caffe: force_color and force_gray are for Datums that are encoded; a list has is_color
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    (tmp_path / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(len(IMAGES))))
    both([(text(tmp_path, "is_color: false", "force_color: true force_gray: true"), caffe.TEST, 2)], tmp_path)


def test_a_missing_list_is_named(tmp_path):
    (tmp_path / "net.prototxt").write_text(text(tmp_path))
    with pytest.raises(RuntimeError, match=r"layer 'd' \(ImageData\): Failed to open source file: '.*list.txt'"):
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


def test_an_image_that_goes_missing_is_raised_again_and_again(tmp_path):
    Image.fromarray(IMAGES[0]).save(tmp_path / "0.png")
    (tmp_path / "list.txt").write_text("0.png 0\ngone.png 1\n")
    (tmp_path / "net.prototxt").write_text(text(tmp_path))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.forward()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="Could not load gone.png"):
            net.forward()


def test_grey_files_give_three_equal_channels(tmp_path):
    Image.fromarray(IMAGES[0][..., 0]).save(tmp_path / "grey.png")
    pixels = read_image(str(tmp_path / "grey.png"))
    assert pixels.shape == (3, 12, 14) and (pixels == IMAGES[0][..., 0]).all()
