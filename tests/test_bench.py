"""The programs that measure run, and what they write has what it must have. No figure is judged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench import growth, per_layer, profile, report, score_share
from bench import measure as measuring
from bench.__main__ import main
from bench.architectures import __main__ as architectures
from bench.architectures import report as architectures_report
from bench.eager import Fcn
from bench.measures import MEASURES, Measure, Row, quick
from bench.peers import PEERS, BenchError, Peer

ROWS = {"forward_fp32", "forward_bf16", "forward_by_layer", "sizes_fp32", "sizes_bf16", "step_fp32", "step_bf16",
        "embedded", "gpu_forward_fp32", "gpu_forward_bf16", "gpu_step_fp32", "gpu_step_bf16"}
SIDE = {"median": 2.0, "least": 1.5, "most": 2.5, "runs": [1.5, 2.0, 2.5], "peak_gib": 1.0}


def row(**sides):
    return {"name": "forward_fp32", "what": "FCN-8s", "unit": "s", "agrees": {}, "ratios": {
        name: {"median": 4.0, "least": 3.9, "most": 4.1} for name in sides if name != "ours" and "median" in sides[name]
    }, "sides": {**{name: {"left_out": f"{name} is not there"} for name in PEERS}, **sides}}


def result(*rows):
    return {"name": "forward", "title": "FCN-8s", "date": "2026-01-02 03:04", "machine": "a machine", "commit": "abc",
            "rounds": 5, "quick": False, "rows": list(rows)}


def test_every_measure_has_workers_for_its_rows():
    assert {r.name for m in MEASURES for r in m.rows} == ROWS
    for m in MEASURES:
        assert m.program or all(set(m.workers) & set(r.sides.values()) for r in m.rows), m.name
        assert all(r.sides["ours"] in m.workers for r in m.rows)
        assert all(net.startswith("shapes-") for net in quick(m).nets)


def test_a_forward_measure_of_two_peers(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "threads", lambda: 1)
    m = Measure("forward", "t", ("shapes-fcn8s",), ((32, 40), (40, 32)), workers={
        "ours": ("ours", {}), "eager": ("eager", {})}, rows=(Row("r", "t", {name: name for name in PEERS}),))
    found, = measuring.run(m, 2, tmp_path)
    ours, eager = found["sides"]["ours"], found["sides"]["eager"]
    assert len(ours["runs"]) == 2 and len(ours["parts"][0]) == 2 and ours["peak_gib"] > 0.05
    assert ours["least"] <= ours["median"] <= ours["most"]
    assert found["ratios"]["eager"]["runs"] == [a / b for a, b in zip(eager["runs"], ours["runs"])]
    assert found["agrees"]["eager"]["difference"] < 2e-5 and found["agrees"]["eager"]["argmax_equal"] > 0.999
    assert "left_out" in found["sides"]["genuine"]


def test_a_training_measure(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "threads", lambda: 1)
    m = Measure("step", "t", ("shapes-fcn32s",), ((32, 40),), "step", workers={"ours": ("ours", {})},
                rows=(Row("r", "t", {"ours": "ours"}),), steps=1, spread=1.0)
    found, = measuring.run(m, 1, tmp_path)
    assert found["sides"]["ours"]["median"] > 0
    assert found["sides"]["opencv"]["left_out"] == "OpenCV dnn does not train"


@pytest.mark.parametrize("size", [(32, 40), (45, 33)])
def test_eager_nets_have_the_size_of_the_image(size):
    rng = np.random.default_rng(0)
    widths = [(f"conv{s}_{i}", (2, 3 if (s, i) == (1, 1) else 2, 3, 3)) for s, d in enumerate((2, 2, 3, 3, 3), 1)
              for i in range(1, d + 1)]
    heads = {32: [("upscore", 64)], 16: [("upscore2", 4), ("upscore16", 32)],
             8: [("upscore2", 4), ("upscore_pool4", 4), ("upscore8", 16)]}
    for stride, ups in heads.items():
        shapes = dict([*widths, ("fc6", (2, 2, 7, 7)), ("fc7", (2, 2, 1, 1)), ("score_fr", (3, 2, 1, 1)),
                       ("score_pool4", (3, 2, 1, 1)), ("score_pool3", (3, 2, 1, 1))],
                      **{name: (3, 3, k, k) for name, k in ups})
        weights = {f"{name}/{i}": rng.normal(size=shape if i == 0 else shape[:1]).astype(np.float32)
                   for name, shape in shapes.items() for i in range(1 if name.startswith("up") else 2)}
        import torch

        net = Fcn(weights, 0.5).eval()
        assert net.stride == stride and net(torch.zeros(1, 3, *size)).shape == (1, 3, *size)


def test_a_peer_that_is_missing_or_stops_is_named(tmp_path, monkeypatch):
    gone = Peer("gone", "peer_caffe", tmp_path / "python", ("",), "make it")
    monkeypatch.setitem(PEERS, "genuine", gone)
    m = Measure("forward", "t", workers={"genuine": ("genuine", {}), "ours": ("ours", {})}, rows=(
        Row("r", "t", {"ours": "ours", "genuine": "genuine"}),))
    turns = measuring.Turns(m, {"kind": "forward", "prototxt": str(tmp_path / "none.prototxt"), "images": []})
    found = measuring.row_of(m.rows[0], m, turns, {})
    assert found["sides"]["genuine"]["left_out"] == "gone is not installed (make it)"
    assert found["sides"]["ours"]["left_out"].startswith("ours stopped (1): ")
    assert "none.prototxt" in found["sides"]["ours"]["left_out"]


def test_without_a_gpu_its_rows_say_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measuring, "gpu", lambda: None)
    assert main(["gpu_step", "--quick", "--out", str(tmp_path)]) == 0
    assert "not measured: this machine has no CUDA device" in capsys.readouterr().out
    kept = json.loads((tmp_path / "gpu_step.json").read_text())
    assert [r["name"] for r in kept["rows"]] == ["gpu_step_fp32", "gpu_step_bf16"]
    (tmp_path / "gpu_step.json").write_text(json.dumps(result(row(ours=SIDE))))  # as of another machine
    assert main(["gpu_step", "--quick", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "gpu_step.json").read_text())["machine"] == "a machine"
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 2


def test_table_plot_and_docs(tmp_path):
    shown = result(row(ours=SIDE, genuine={**SIDE, "median": 8.0}))
    text = report.table([shown])
    assert "2.00 s" in text and "8.00 s" in text and "4.00" in text and "3.90–4.10" in text
    assert "left out: opencv is not there: forward_fp32" in text
    report.write_result(shown, tmp_path)
    assert report.read_results(tmp_path) == [shown]
    assert (tmp_path / "forward.png").read_bytes().startswith(b"\x89PNG")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_docs([shown], (page, tmp_path / "none.md"))
    written = page.read_text()
    assert written.startswith("before\n") and written.endswith("\nafter\n") and "old" not in written
    assert "| FCN-8s | 2.00 s | 8.00 s |" in written and "commit abc, on a machine" in written


def test_the_engines_own_time_a_layer(capsys):
    assert per_layer.main(["--quick", "--json"]) == 0
    found, = json.loads(capsys.readouterr().out)
    assert found["layers"] > 1300 and found["aten_calls"] > found["layers"] / 2
    assert len(found["sides"]["ours"]["runs"]) == per_layer.QUICK_RUNS and "own_without_views" in found


def test_architectures(capsys):
    assert architectures.main(["--quick", "--only", "resnet_20", "--threads", "1", "--json"]) == 0
    found, = json.loads(capsys.readouterr().out)["nets"]
    assert (found["net"], found["batch"], found["threads"]) == ("resnet_20", 1, 1)
    for use in ("forward", "train", "backward", "learned", "learned_backward", "build"):
        assert found[use]["ours"]["median"] > 0, use
    assert found["backward"]["ours"]["median"] < found["train"]["ours"]["median"]
    assert found["forward"]["layers"]["median"] > 0
    assert ("genuine" in found["left_out"]) != ("genuine" in found["forward"])


def test_the_table_of_architectures_has_ratios_round_by_round():
    def side(*runs):
        return measuring.counted(list(runs))

    row = {"net": "a", "batch": 1, "threads": 1, "clock": "cpu", "left_out": {"layers": "it stopped"},
           "forward": {"ours": side(1.0, 4.0, 3.0), "genuine": side(2.0, 2.0, 2.0)}}
    text = architectures_report.table([row], header=True)
    assert "1.50 (0.50-2.00)" in text and "a: layers left out: it stopped" in text and "cpu clock" in text
    other = {**row, "net": "b", "forward": {"ours": side(1.0), "genuine": side(4.0)}}
    assert architectures_report.summary([row, other]) == (
        "  forward: sum 4 / 6 ms = 0.67, middle 0.88, worst 1.50 (a), slower than genuine: 1 of 2")


def test_wrong_options_of_architectures_stop_before_anything_is_measured(capsys):
    for words in (["--only", "nothing"], ["--rounds", "0"], ["--threads", "0"]):
        with pytest.raises(SystemExit) as stop:
            architectures.main(words)
        assert stop.value.code == 2


def test_score_share(capsys):
    assert score_share.main(["--quick", "--json"]) == 0
    found, = json.loads(capsys.readouterr().out)
    assert 0 < found["sides"]["ours"]["median"] < 100 and found["seconds_an_image"] > 0


def test_clock_counts_reading_as_not_the_nets():
    clock = score_share.Clock(object)
    clock.passes = [(0.0, 1.0, 0.0), (1.0, 1.9, 0.1), (2.0, 2.9, 0.1), (3.0, 3.9, 0.1)]
    assert clock.share(1, 3) == pytest.approx(20)


def test_profile(tmp_path, capsys):
    assert profile.main(["shapes-fcn32s", "--quick", "--out", str(tmp_path)]) == 0
    assert "peak of this machine, convolution" in capsys.readouterr().out
    found = json.loads((tmp_path / "profile-shapes-fcn32s.json").read_text())
    layers = {of["layer"]: of for of in found["layers"]}
    first, second = layers["conv1_1"], layers["conv1_2"]
    assert first["backward_gflop"] == first["gflop"] and second["backward_gflop"] == 2 * second["gflop"]
    assert set(found["peaks"]) == {"matrix product", "convolution"} and found["pass_ms"] > 0
    assert (tmp_path / "profile-shapes-fcn32s.png").exists()
    with pytest.raises(BenchError, match="net 'none': no '.*'; there are: .*voc-fcn8s"):
        profile.main(["none", "--quick"])


def test_exponents():
    points = [{"side": s, "seconds": 1e-6 * s**2, "loaded_gib": 0.5, "peak_gib": 0.5 + 1e-6 * s**2.5}
              for s in (100, 200, 400, 800)]
    found = growth.series([*points, {"side": 1600, "left_out": "no memory"}], "side")
    assert found["exponent_seconds"] == pytest.approx(2) and found["exponent_memory"] == pytest.approx(2.5)
    assert "1600  left out: no memory" in growth.text({"series": [found]})


def test_growth(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(growth, "threads", lambda: 1)
    monkeypatch.setattr(measuring, "threads", lambda: 1)
    assert growth.main(["--quick", "--sides", "32", "--batches", "1", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "growth.json").read_text())
    assert [of["along"] for of in found["series"]] == ["side", "batch"] and found["net"] == "shapes-fcn8s"
    assert found["series"][0]["points"][0]["seconds"] > 0 and found["series"][0]["exponent_seconds"] is None
    assert "to the power not measured" in capsys.readouterr().out and (tmp_path / "growth.png").exists()


def test_wrong_options_stop_before_anything_is_measured(capsys):
    for words in (["nothing"], ["--rounds", "0"], ["--peers", "somebody"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
    assert "got nothing, want of forward, sizes" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "passes"), [(2.0, 3), (0, 2)])
def test_a_turn_is_a_pass_that_does_not_count_and_then_passes_for_a_while(seconds, passes, monkeypatch):
    class Waiting:
        def __init__(self):
            self.passes = 0

        def run(self):
            self.passes += 1
            return {"seconds": [100.0, 100.0] if self.passes == 1 else [0.5, 0.7], "peak_gib": 1.0}

    monkeypatch.setattr(measuring, "PAUSE", 0)
    turns = measuring.Turns(Measure("m", "m"), {}, seconds)
    turns.workers["ours"] = worker = Waiting()
    turns.round(0, counts=True)
    assert worker.passes == passes
    assert turns.parts["ours"] == [[0.5, 0.7]] and turns.runs["ours"] == [pytest.approx(0.6)]


@pytest.mark.parametrize("out", ["/proc/x", "a-file/x"])
def test_a_folder_that_cannot_be_made_is_said_before_anything_is_measured(out, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("")
    monkeypatch.setattr("bench.__main__.measured", lambda *_: pytest.fail("measured"))
    with pytest.raises(OSError):
        main(["forward", "--quick", "--out", out])


def test_some_peers_alone_do_not_replace_the_record(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    assert report.folder_for(None, partial=True) == tmp_path / "output" / "bench"
    assert report.folder_for(None, partial=False) == report.RESULTS


def test_a_table_of_nothing_or_of_a_damaged_result_is_an_error(tmp_path):
    with pytest.raises(BenchError, match="no results in"):
        main(["--table", "--out", str(tmp_path)])
    (tmp_path / "forward.json").write_text("{")
    with pytest.raises(BenchError, match=r"forward\.json: no JSON"):
        main(["--table", "--out", str(tmp_path)])


@pytest.mark.parametrize("size", ["0x5", "64", "x", "1x2x3", "-1x2"])
def test_a_profiles_size_is_two_numbers(size, capsys):
    with pytest.raises(SystemExit):
        profile.main(["shapes-fcn8s", f"--size={size}"])
    assert f"got '{size}', want height and width" in capsys.readouterr().err
