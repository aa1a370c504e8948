"""The solve loop as it stands runs on genuine Caffe, too, and trains to the same losses."""

import json
from pathlib import Path

import numpy as np
from bvlc import run_bvlc
from train_project import make_project, shortened

from solvers import loop, solve
from solvers.recipes import RECIPES

NAME = "shapes-vgg16"  # starts from its fillers: random numbers, dropout and all
ROOT = Path(__file__).resolve().parent.parent
SCRIPT = f"""
import json, os
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'layers')!r}, {str(ROOT / 'tests')!r}]
from train_project import shortened
from solvers import loop, recipes, solve
os.chdir(bytes(inp["folder"]).decode())
loop.draw_curve = lambda *drawn: None
recipes.RECIPES["{NAME}"] = shortened("{NAME}")
solve.train("{NAME}")
rows = map(json.loads, open("models/{NAME}/snapshot/journal.jsonl"))
out["losses"] = np.array([row["loss"] for row in rows if "loss" in row])
"""


def test_oracle_recipe_trains_alike_on_genuine_caffe(tmp_path, monkeypatch):
    for folder in ("ours", "genuine"):
        make_project(tmp_path / folder, NAME)
    where = np.frombuffer(str(tmp_path / "genuine").encode(), np.uint8)
    genuine = run_bvlc(SCRIPT, folder=where)["losses"]
    monkeypatch.chdir(tmp_path / "ours")
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.setattr(loop, "draw_curve", lambda *drawn: None)
    monkeypatch.setitem(RECIPES, NAME, shortened(NAME))
    solve.train(NAME)
    rows = map(json.loads, Path(f"models/{NAME}/snapshot/journal.jsonl").read_text().splitlines())
    ours = [row["loss"] for row in rows if "loss" in row]
    assert len(ours) == 3
    np.testing.assert_allclose(ours, genuine, rtol=1e-5)  # sums in another order
