"""The upgrade tools, summarize.py, resize_and_crop_images.py and download_model_binary.py."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image

import caffe
from caffe._caffe.data.image_files import read_image, resize
from caffe.proto import caffe_pb2
from caffe.tools import download_model_binary, resize_and_crop_images, summarize, upgrade
from tests.bvlc import run_bvlc
from tests.file_server import serving

V0 = """name: "v0" input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 stride: 2 blobs_lr: 1 blobs_lr: 2
  weight_filler { type: "xavier" } } bottom: "pad" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "ip" type: "innerproduct" num_output: 2 weight_filler { type: "gaussian" std: 0.1 } }
  bottom: "conv" top: "ip" }
"""
V1 = """name: "v1" input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
  weight_decay: 0 convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layers { name: "prob" type: SOFTMAX bottom: "conv" top: "prob" }
"""
V2 = """name: "v2"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }
"""
OLD = {"v0": V0, "v1": V1, "v2": V2}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "0")
    for name, text in OLD.items():
        Path(f"{name}.prototxt").write_text(text)
    return tmp_path


def error(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, lines
    return lines[0]


# -- upgrades ----------------------------------------------------------------------------------------


def test_upgraded_nets_are_to_genuine_caffe_what_the_old_ones_are(folder, capsys):
    for name in OLD:
        assert upgrade.net_text([f"{name}.prototxt", f"{name}.new"]) == 0
        caffe.set_random_seed(2)
        old = caffe_pb2.NetParameter()
        text_format.Parse(OLD[name], old)  # with weights in it, as files of that age have them
        net = caffe.Net(f"{name}.prototxt", caffe.TEST)
        for layer in old.layers:
            for i, blob in enumerate(net.params.get(layer.layer.name or layer.name, ())):
                shape = (1,) * (4 - blob.data.ndim) + blob.data.shape
                proto = caffe_pb2.BlobProto(data=blob.data.ravel() + i, **dict(zip(
                    ("num", "channels", "height", "width"), shape, strict=True)))
                (layer.layer if layer.HasField("layer") else layer).blobs.append(proto)
        Path(f"{name}.old.caffemodel").write_bytes(old.SerializeToString())
        assert upgrade.net_binary([f"{name}.old.caffemodel", f"{name}.new.caffemodel"]) == 0
    log = capsys.readouterr().err
    assert log.count("File already in latest proto format: v2.prototxt") == 1
    assert "Wrote upgraded NetParameter text proto to v0.new" in log
    assert "Wrote upgraded NetParameter binary proto to v0.new.caffemodel" in log
    found = run_bvlc(f"""
        import os
        os.chdir({str(folder)!r})
        for name in ("v0", "v1", "v2"):
            for age, path in (("old", name + ".prototxt"), ("new", name + ".new")):
                net = caffe.Net(path, caffe.TEST)
                net.copy_from("%s.%s.caffemodel" % (name, age))
                net.save("saved")
                out[name + " " + age] = np.frombuffer(open("saved", "rb").read(), np.uint8)
        """)
    for name in OLD:
        np.testing.assert_array_equal(found[f"{name} new"], found[f"{name} old"], err_msg=name)
        assert "layers {" not in Path(f"{name}.new").read_text()
    assert found["v0 new"].size > 4 * (4 * 27 + 2 * 100)  # the weights are in it


def test_upgraded_solvers_have_todays_type(folder, capsys):
    Path("old.prototxt").write_text('net: "n" base_lr: 0.1 solver_type: ADAGRAD momentum: 0\n')
    assert upgrade.solver_text(["old.prototxt", "new.prototxt"]) == 0
    assert "Wrote upgraded SolverParameter text proto" in capsys.readouterr().err
    solver = text_format.Parse(Path("new.prototxt").read_text(), caffe_pb2.SolverParameter())
    assert solver.type == "AdaGrad" and not solver.HasField("solver_type") and solver.net == "n"
    assert upgrade.solver_text(["new.prototxt", "again.prototxt"]) == 0
    assert "File already in latest proto format: new.prototxt" in capsys.readouterr().err
    assert Path("again.prototxt").read_text() == Path("new.prototxt").read_text()


@pytest.mark.parametrize("tool, argv, words", [
    (upgrade.net_text, [], "Usage: upgrade_net_proto_text"), (upgrade.net_text, ["v0.prototxt"], "got 1 arguments"),
    (upgrade.net_text, ["none.prototxt", "out"], "none.prototxt"),
    (upgrade.net_text, ["--fixcrop", "v0.prototxt", "out"], "did you mean 'fix_crop'?"),
    (upgrade.net_binary, ["-x", "a", "out"], "unknown command line flag 'x'"),
    (upgrade.net_text, ["bad.prototxt", "out"], "bad.prototxt"),
    (upgrade.net_text, ["v0.prototxt", "no/where"], "Could not write file no/where"),
    (upgrade.net_binary, ["v0.prototxt", "out"], "use upgrade_net_proto_text for that"),
    (upgrade.net_binary, ["empty", "out"], "the file is empty"), (upgrade.net_binary, ["cut", "out"], "cut: "),
    (upgrade.net_binary, ["none", "out"], "Could not open file none"),
    (upgrade.solver_text, ["v0.prototxt", "out"], "v0.prototxt"),
    (upgrade.solver_text, ["a", "b", "c"], "Usage: upgrade_solver_proto_text")])
def test_upgrades_say_what_is_wrong(folder, capsys, tool, argv, words):
    Path("bad.prototxt").write_text("layer { name: ")
    Path("empty").write_bytes(b"")
    whole = caffe_pb2.NetParameter(layer=[caffe_pb2.LayerParameter(name="n" * 99)]).SerializeToString()
    Path("cut").write_bytes(whole[:50])
    assert tool(argv) == 1
    assert words in error(capsys)
    assert not Path("out").exists()


@pytest.mark.parametrize("tool, words", [
    (upgrade.net_text, "-fix_crop"), (upgrade.net_binary, "upgrade_net_proto_binary"),
    (upgrade.solver_text, "upgrade_solver_proto_text")])
def test_upgrades_give_help(capsys, tool, words):
    assert tool(["-help"]) == 0
    assert words in capsys.readouterr().out


# -- summarize.py ------------------------------------------------------------------------------------


def test_summary_has_a_row_a_layer(folder, capsys):
    Path("net.prototxt").write_text("""
        layer { name: "py" type: "Python" top: "data" python_param { module: "m" layer: "L" } }
        layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 64 kernel_h: 3
          kernel_w: 5 stride: 2 pad: 1 dilation: 2 group: 4 } }
        layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE global_pooling: true } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "p" bottom: "data" top: "loss" loss_weight: 0.5 }
        """)
    assert summarize.main(["net.prototxt"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["py", "m.L", "->", "data"], ["c", "Convolution", "64", "3x5", "s2", "p1", "d2", "g4", "data", "->", "c"],
        ["p", "Pooling", "AVE", "global", "c", "->", "p"],
        ["loss", "SoftmaxWithLoss", "p,", "data", "->", "0.5", "*", "loss"]]
    assert summarize.main(["none.prototxt"]) == 1
    assert "none.prototxt" in error(capsys)


# -- resize_and_crop_images.py -----------------------------------------------------------------------


def test_images_become_squares_of_their_middle(folder, capsys):
    Path("in/deep").mkdir(parents=True)
    pixels = np.random.RandomState(0).randint(0, 256, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(pixels).save("in/deep/a.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save("in/b.jpg")
    Path("list.txt").write_text("deep/a.png\nb.jpg\n")
    options = ["--input", "list.txt", "--input_folder", "in", "--output_folder", "out", "--output_side_length", "16"]
    assert resize_and_crop_images.main(options) == 0
    assert "2 of 2 images written to out" in capsys.readouterr().out
    want = resize(read_image("in/deep/a.png"), 16, 24)[:, :, 4:20]
    np.testing.assert_array_equal(read_image("out/deep/a.png"), want)
    assert read_image("out/b.jpg").shape == (3, 16, 16)


def test_images_that_cannot_be_read_are_named(folder, capsys):
    Path("in").mkdir()
    Path("in/bad.png").write_bytes(b"no image")
    for text, words in (("bad.png\n", "in/bad.png"), ("\n", "the list is empty"),
                        ("../x.png\n", "leads out of its folder"),
                        ("/x.png\n", "leads out of its folder")):
        Path("list.txt").write_text(text)
        assert resize_and_crop_images.main(["--input", "list.txt", "--input_folder", "in",
                                            "--output_folder", "out"]) == 1
        assert words in capsys.readouterr().err
    assert resize_and_crop_images.main(["--input", "list.txt", "--input_folder", "in", "--output_folder", "in"]) == 1
    assert "choose another" in error(capsys)
    assert resize_and_crop_images.main(["--input", "none.txt", "--output_folder", "out"]) == 1
    assert "none.txt" in error(capsys)


# -- download_model_binary.py ------------------------------------------------------------------------

BODY = bytes(range(256)) * 3000


def readme(url, sha1=None, name="net.caffemodel"):
    sha1 = sha1 or hashlib.sha1(BODY).hexdigest()
    Path("readme.md").write_text(f"---\nname: A net\ncaffemodel: {name}\ncaffemodel_url: {url}\nlicense: free\n"
                                 f"sha1: {sha1}\n---\n\n## A net\n")


def test_weights_are_fetched_checked_and_not_fetched_twice(folder, capsys):
    with serving(files={"net": BODY}) as server:
        readme(server.url("net"))
        assert download_model_binary.main(["."]) == 0
        assert Path("net.caffemodel").read_bytes() == BODY and "licence: free" in capsys.readouterr().out
        assert download_model_binary.main(["."]) == 0
        assert "Model already exists." in capsys.readouterr().out and len(server.asked) == 1
        Path("net.caffemodel").write_bytes(b"other")  # not what the readme says: fetched anew
        assert download_model_binary.main(["."]) == 0 and Path("net.caffemodel").read_bytes() == BODY


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_goes_on_where_it_was(folder, capsys, ranges):
    with serving(files={"net": BODY}) as server:
        readme(server.url("net"))
        server.ranges, server.cuts = ranges, [300000]
        assert download_model_binary.main(["."]) == 1
        assert "repeat the command" in error(capsys) and not Path("net.caffemodel").exists()
        assert download_model_binary.main(["."]) == 0
        assert server.asked[1][1].startswith("bytes=") and Path("net.caffemodel").read_bytes() == BODY
    assert [name for name in os.listdir() if name.startswith("net")] == ["net.caffemodel"]


@pytest.mark.parametrize("change, words", [
    (dict(sha1="0" * 40), "Model did not download correctly"), (dict(name="../net"), "leads out of the folder"),
    (dict(url="file:///etc/hostname"), "want http:// or https://"), (dict(url="URLnone"), "404")])
def test_downloads_say_what_is_wrong(folder, capsys, change, words):
    with serving(files={"net": BODY}) as server:
        change = {**dict(url="URLnet"), **change}
        readme(**{**change, "url": change["url"].replace("URL", f"{server.base}/")})
        assert download_model_binary.main(["."]) == 1
    assert words in error(capsys)
    assert sorted(os.listdir()) == sorted(["readme.md", *(f"{name}.prototxt" for name in OLD)])


@pytest.mark.parametrize("text, words", [("# a net\n", "no front matter"), ("---\ncaffemodel: a\n---\n", "lacks"),
                                         (None, "readme.md")])
def test_a_readme_without_front_matter_is_refused(folder, capsys, text, words):
    if text is not None:
        Path("readme.md").write_text(text)
    assert download_model_binary.main(["."]) == 1
    assert words in error(capsys)
