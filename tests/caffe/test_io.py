"""caffe.io: images of every mode, 2015's resizing, the Transformer, crops, messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bvlc import run_bvlc
from PIL import Image

import caffe
from caffe import io
from caffe.proto import caffe_pb2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("mode, color, want", [
    ("RGB", (255, 0, 51), (1, 0, .2)), ("RGBA", (255, 0, 51, 10), (1, 0, .2)),
    ("L", 51, (.2, .2, .2)), ("LA", (51, 0), (.2, .2, .2)), ("1", 1, (1, 1, 1)),
    ("I;16", 13107, (.2, .2, .2)), ("CMYK", (0, 255, 204, 0), (1, 0, .2))])
def test_every_mode_is_read_as_rgb(tmp_path, mode, color, want):
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    Image.new(mode, (3, 2), color).save(path)
    image = io.load_image(path)
    assert image.shape == (2, 3, 3) and image.dtype == np.float32
    np.testing.assert_allclose(image[1, 2], want, atol=1e-6)


def test_palette_is_looked_up(tmp_path):
    image = Image.new("P", (2, 1), 1)
    image.putpalette([9, 9, 9, 255, 0, 51])
    image.save(tmp_path / "image.png", transparency=0)
    np.testing.assert_allclose(io.load_image(tmp_path / "image.png")[0, 0], (1, 0, .2), atol=1e-6)


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "image.jpg", quality=100)
    np.testing.assert_allclose(io.load_image(tmp_path / "image.jpg")[4, 4], (1, 0, 0), atol=.02)


@pytest.mark.parametrize("mode, color, want", [("RGB", (255, 0, 51), .2125 + .0721 * .2), ("L", 51, .2)])
def test_without_color_there_is_one_channel(tmp_path, mode, color, want):
    Image.new(mode, (3, 2), color).save(tmp_path / "image.png")
    image = io.load_image(str(tmp_path / "image.png"), color=False)
    assert image.shape == (2, 3, 1) and image.dtype == np.float32
    np.testing.assert_allclose(image, want, atol=1e-6)


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_broken_image_is_named(tmp_path, rng, keep):
    path = tmp_path / "broken.png"
    Image.fromarray(rng.integers(0, 255, (30, 30, 3)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(OSError, match="broken.png"):
        io.load_image(path)
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        io.load_image(tmp_path / "none.png")


def test_oracle_resize_is_scikit_images_without_smoothing(rng):
    cases = [((5, 7, 3), (11, 9)), ((9, 12, 1), (4, 5)), ((6, 6, 3), (6, 6)), ((1, 4, 3), (3, 2)),
             ((20, 30, 3), (7, 45))]
    images = [rng.normal(5, 3, shape).astype(np.float32) for shape, _ in cases]
    arrays = {f"im{i}": image for i, image in enumerate(images)}
    arrays.update({f"dims{i}": np.array(dims) for i, (_, dims) in enumerate(cases)})
    theirs = run_bvlc("""
        from skimage.transform import resize
        for key in [k for k in inp if k.startswith("im")]:
            im, dims = inp[key].astype(float), tuple(inp["dims" + key[2:]])
            low, high = im.min(), im.max()
            unit = resize((im - low) / (high - low), dims, order=1, mode="constant", anti_aliasing=False)
            out[key] = unit * (high - low) + low
        """, **arrays)
    for i, (image, (shape, dims)) in enumerate(zip(images, cases, strict=True)):
        ours = io.resize_image(image, dims)
        assert ours.shape == (*dims, shape[-1]) and ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs[f"im{i}"], atol=2e-6)


def test_resize_is_literal():
    ramp = np.array([[0, 4, 8, 12]], np.float32)[..., np.newaxis]
    assert io.resize_image(ramp, (1, 2))[0, :, 0].tolist() == [2, 10]  # between the two middle pixels
    wide = io.resize_image(ramp, (1, 8))[0, :, 0]
    # Zero (here also the least value) lies outside, so the right border darkens: 12 * .75.
    assert wide.tolist() == [0, 1, 3, 5, 7, 9, 11, 9]
    assert io.resize_image(ramp, (1, 2), interp_order=0)[0, :, 0].tolist() in ([0, 8], [4, 8], [4, 12])


def test_resize_of_a_constant_and_of_four_channels():
    assert (io.resize_image(np.full((3, 3, 3), 7.), (5, 4)) == 7).all()
    four = np.arange(8, dtype=np.float32).reshape(1, 2, 4)
    assert io.resize_image(four, (1, 3))[0, :, 0].tolist() == [0, 2, 4]  # ndimage.zoom: ends on ends


def transformer(shape=(1, 3, 4, 5)):
    t = io.Transformer({"data": shape})
    t.set_transpose("data", (2, 0, 1))
    t.set_channel_swap("data", (2, 1, 0))
    t.set_raw_scale("data", 255)
    t.set_mean("data", np.array([104., 117., 123.]))
    t.set_input_scale("data", .5)
    return t


def test_preprocess_is_literal_and_leaves_its_input_alone():
    image = np.zeros((4, 5, 3), np.float32)
    image[..., 0] = 1  # red
    before = image.copy()
    blob = transformer().preprocess("data", image)
    assert blob.shape == (3, 4, 5) and blob.dtype == np.float32
    assert blob[:, 0, 0].tolist() == [-52, -58.5, (255 - 123) / 2]
    assert (image == before).all()


def test_deprocess_undoes_preprocess(rng):
    image = rng.random((4, 5, 3)).astype(np.float32)
    t = transformer()
    np.testing.assert_allclose(t.deprocess("data", t.preprocess("data", image)), image, atol=1e-6)


SCRIPT = """
def through(io, image, mean):
    t = io.Transformer({"data": (2, 3, 6, 7)})
    steps = [t.preprocess("data", image[:6, :7].copy())]
    t.set_transpose("data", (2, 0, 1)); steps.append(t.preprocess("data", image[:6, :7].copy()))
    t.set_channel_swap("data", (2, 0, 1)); steps.append(t.preprocess("data", image[:6, :7].copy()))
    t.set_raw_scale("data", 255); steps.append(t.preprocess("data", image[:6, :7].copy()))
    t.set_mean("data", mean); steps.append(t.preprocess("data", image[:6, :7].copy()))
    t.set_mean("data", mean[:, 0, 0]); steps.append(t.preprocess("data", image[:6, :7].copy()))
    t.set_input_scale("data", .25); steps.append(t.preprocess("data", image[:6, :7].copy()))
    steps.append(t.deprocess("data", steps[-1][None]))
    steps += [io.oversample([image, image[::-1]], (5, 4))]
    datum = io.array_to_datum((image * 255).astype(np.uint8), 3)
    steps += [io.datum_to_array(datum), io.datum_to_array(io.array_to_datum(image))]
    blob = io.array_to_blobproto(image, diff=image + 1)
    steps += [io.blobproto_to_array(blob), io.blobproto_to_array(blob, True)]
    wire = io.arraylist_to_blobprotovector_str([image, image[0]])
    steps += io.blobprotovector_str_to_arraylist(wire)
    steps += [np.frombuffer(m, np.uint8) for m in (datum.SerializeToString(), blob.SerializeToString(), wire)]
    return steps
"""


def test_oracle_transformer_crops_and_messages(rng):
    image, mean = rng.random((8, 9, 3)).astype(np.float32), rng.random((3, 6, 7)) * 100
    theirs = run_bvlc(SCRIPT + """
for i, step in enumerate(through(caffe.io, inp["image"], inp["mean"])):
    out["step%02d" % i] = step
""", image=image, mean=mean)
    space = {"np": np}
    exec(SCRIPT, space)  # the same text that genuine Caffe runs
    ours = space["through"](caffe.io, image, mean)
    assert len(ours) == len(theirs)
    for i, step in enumerate(ours):
        their = theirs[f"step{i:02d}"]
        assert step.dtype == their.dtype and step.shape == their.shape, i
        np.testing.assert_allclose(step, their, rtol=1e-6, atol=1e-6, err_msg=str(i))


def test_mean_picture_of_another_size_is_resized():
    t = io.Transformer({"data": (1, 3, 4, 4)})
    t.set_mean("data", np.stack([np.full((2, 2), v) for v in (0., 1., 2.)]))
    assert t.mean["data"].shape == (3, 4, 4) and t.mean["data"][2].max() == 2


@pytest.mark.parametrize("call, words", [
    (lambda t: t.preprocess("image", np.zeros((4, 5, 3))), "image is not one of the net inputs"),
    (lambda t: t.set_transpose("data", (0, 1)), "same number of dimensions"),
    (lambda t: t.set_channel_swap("data", (1, 0)), "same number of dimensions"),
    (lambda t: t.set_mean("data", np.zeros(4)), "Mean channels incompatible"),
    (lambda t: t.set_mean("data", np.zeros((2, 4, 5))), "Mean shape incompatible"),
    (lambda t: t.set_mean("data", np.zeros((1, 1, 4, 5))), "Mean shape invalid"),
    (lambda t: t.set_mean("data", np.zeros((4, 5))), r"Mean shape invalid \(4, 5\), want channels x height x width"),
    (lambda t: t.set_mean("data", 5), r"Mean shape invalid \(\)"),
    (lambda t: io.oversample([np.zeros((4, 5, 3))], (5, 5)), "do not fit"),
    (lambda t: io.array_to_datum(np.zeros((4, 5))), "Incorrect array shape"),
    (lambda t: io.datum_to_array(caffe_pb2.Datum(encoded=True, data=b"x")), "Could not decode the encoded image"),
    (lambda t: io.blobproto_to_array(caffe_pb2.BlobProto(data=[1, 2])), "reshape")])
def test_errors(call, words):
    with pytest.raises(Exception, match=words):
        call(transformer())


@pytest.mark.parametrize(("call", "error", "words"), [
    # in genuine Caffe the same kinds, from within scipy, scikit-image and NumPy
    (lambda t: t.preprocess("data", np.zeros((7, 8))), RuntimeError, r"Transformer.preprocess\('data'\): got an image "
     r"of shape \(7, 8\), want height x width x channels; for a grey image pass image\[:, :, np.newaxis\]"),
    (lambda t: t.preprocess("data", np.zeros((4, 5))), RuntimeError, r"shape \(4, 5\)"),
    (lambda t: t.preprocess("data", np.zeros(7)), RuntimeError, r"shape \(7,\)"),
    (lambda t: t.preprocess("data", 5), RuntimeError, r"shape \(\)"),
    (lambda t: t.preprocess("data", np.zeros((2, 7, 8, 3))), ValueError, r"shape \(2, 7, 8, 3\)"),
    (lambda t: t.deprocess("data", np.zeros((4, 5))), ValueError, "axes don't match array; got shape"),
    (lambda t: io.resize_image(np.zeros((7, 8)), (4, 5)), RuntimeError, r"resize_image: got an image of shape \(7"),
    (lambda t: io.resize_image(np.zeros((7, 3)), (4, 5)), RuntimeError, r"shape \(7, 3\)"),
    (lambda t: io.resize_image(np.zeros((2, 7, 8, 3)), (4, 5)), ValueError, r"shape \(2, 7, 8, 3\)"),
    (lambda t: io.resize_image(np.zeros((7, 8, 3)), 4), TypeError, r"new_dims: got 4, want \(height, width\)"),
    (lambda t: io.resize_image(np.zeros((7, 8, 3)), (4,)), ValueError, r"got \(4,\), want"),
    (lambda t: io.resize_image(np.zeros((7, 8, 3)), (-1, 5)), ValueError, "both at least 1"),
    (lambda t: io.resize_image(np.zeros((7, 8, 3)), (0, 5)), ValueError, "both at least 1"),
    (lambda t: io.oversample(np.zeros((7, 8, 3)), (4, 5)), IndexError, r"oversample: got an image of shape \(8, 3\)"),
    (lambda t: io.oversample([np.zeros((7, 8))], (4, 5)), IndexError, r"shape \(7, 8\), want height x width"),
    (lambda t: io.oversample([], (4, 5)), IndexError, "got no images"),
    (lambda t: io.oversample([np.zeros((7, 8, 3))], 4), TypeError, "crop_dims: got 4"),
])
def test_too_few_and_too_many_axes(call, error, words):
    t = transformer()
    t.set_transpose("data", (2, 0, 1))
    with pytest.raises(error, match=words):
        call(t)


def test_a_mean_picture_of_two_axes_serves_one_channel():
    t = io.Transformer({"data": (1, 1, 4, 5)})
    t.set_transpose("data", (2, 0, 1))
    t.set_mean("data", np.full((4, 5), 2.))
    assert t.preprocess("data", np.zeros((4, 5, 1))).tolist() == np.full((1, 4, 5), -2.).tolist()


def test_blobproto_of_old_form_and_of_doubles():
    old = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=2, data=[1, 2, 3, 4])
    assert io.blobproto_to_array(old).tolist() == [[[[1, 2]], [[3, 4]]]]
    double = caffe_pb2.BlobProto(shape=dict(dim=[2]), double_data=[.1, .2])
    assert io.blobproto_to_array(double).tolist() == [.1, .2]


def test_the_mean_that_notebooks_load():
    mean = np.load(Path(caffe.__file__).parent / "imagenet" / "ilsvrc_2012_mean.npy")
    assert mean.shape == (3, 256, 256)
    np.testing.assert_allclose(mean.mean(1).mean(1), [104.007, 116.669, 122.679], rtol=1e-5)  # D37: a mean a channel
    transformer = caffe.io.Transformer({"data": (1, 3, 227, 227)})
    transformer.set_mean("data", mean)
    np.testing.assert_allclose(transformer.mean["data"], np.broadcast_to(mean[:, :1, :1], (3, 227, 227)), rtol=1e-5)
