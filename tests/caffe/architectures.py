"""Whole architectures in this Caffe, in genuine Caffe and in float64, compared blob by blob.

Run:  python -m tests.caffe.architectures [--only NAME ...] [--batch 1 4] [--forms test train learned]
      (make architectures: every net, every form, batches of 1 and 4; half an hour, 13 GB)

In:   nets of bench.architectures at full size, weights as a caffemodel that both Caffes read, inputs as arrays.
Out:  faults as lines, none where all is well; the program prints the worst distances and ends with 1 at a fault.
Not here: the float64 pass (torch_net), recorded figures (tests/reference/record_architectures.py).

Forms: `test`; `train`, in which BatchNorm uses stored statistics, for genuine's build computes no others; `learned`, in
which it computes them. In TEST ours runs with a plan and layer by layer.

Bounds: a float32 engine is right where it is as near to float64 as float32 comes. Of each blob, the greatest difference
from float64 relative to the blob's largest value: in values it may be 1e-5, in gradients 1e-4, or twice what genuine's
worst blob of that net has. Where genuine is missing or computes no statistics, float32 by torch stands for it.
Gradients are those of a float64 pass that follows the engine's own decisions at ReLU and MAX pooling (torch_net),
values those of a pass that decides for itself: a wrong decision shows there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import caffe
from bench.architectures import ARCHITECTURES, draft, weights
from tests.bvlc import BVLC_PYTHON, run_bvlc
from tests.caffe.torch_net import Run, TorchNet

SEED = 7
LARGE = {"segnet_encoder"}  # a float64 TRAIN pass of a batch of 4 takes more than 20 GB: of several images, TEST alone
FORMS = {"test": {}, "train": {"train": True, "global_stats": True}, "learned": {"train": True}}
VALUES, GRADIENTS, SANE = 1e-5, 1e-4, 1e-3
# Thirteen 3 x 3 convolutions of many channels in a row run by minimal filtering, which rounds six times as much as
# direct sums do (kernels/winograd): these nets end up to 2e-5 from float64, genuine Caffe up to 7.5e-6.
FILTERED = {"vgg16_bn": 3e-5, "segnet_encoder": 3e-5}
PASS = """
def run(caffe, prototxt, weights, train, inputs, seed):
    net = caffe.Net(prototxt, caffe.TRAIN if train else caffe.TEST)
    net.copy_from(weights)
    for name, values in inputs.items():
        net.blobs[name].data[...] = values
    caffe.set_random_seed(seed)
    net.forward()
    found = {"data/" + name: blob.data.copy() for name, blob in net.blobs.items()}
    if train:
        net.backward()
        found.update(("diff/" + name, blob.diff.copy()) for name, blob in net.blobs.items())
        for name, blobs in net.params.items():
            for i, blob in enumerate(blobs):
                found["param_diff/%s/%d" % (name, i)] = blob.diff.copy()
                if net.layer_dict[name].type == "BatchNorm":
                    found["statistics/%s/%d" % (name, i)] = blob.data.copy()
    return found
"""
GENUINE = PASS + """
for form in inp["forms"]:
    inputs = {key.split("/", 1)[1]: values for key, values in inp.items() if key.startswith(form + "/")}
    values = run(caffe, "%s/%s.prototxt" % (inp["folder"], form), str(inp["weights"]), form != "test", inputs,
                 int(inp["seed"]))
    out.update((form + "/" + key, array) for key, array in values.items())
"""


@dataclass(frozen=True)
class Case:
    """A net with its files: FORM.prototxt for each form, weights.caffemodel."""

    name: str
    folder: Path
    texts: dict[str, str]
    inputs: dict[str, dict[str, np.ndarray]]
    weights: dict[str, list[torch.Tensor]]  # float64

    @property
    def caffemodel(self) -> str:
        """Return the path of the weights."""
        return str(self.folder / "weights.caffemodel")

    def ours(self, form: str, plans: bool = True) -> dict[str, np.ndarray]:
        """Run a form in this Caffe; returns "kind/name": values."""
        space: dict = {}
        exec(PASS, space)  # the text that genuine Caffe runs
        caffe.set_plans(plans)
        try:
            return space["run"](caffe, str(self.folder / f"{form}.prototxt"), self.caffemodel, form != "test",
                                self.inputs[form], SEED)
        finally:
            caffe.set_plans(True)

    def genuine(self, *forms: str) -> dict[str, dict[str, np.ndarray]]:
        """Run forms in genuine Caffe; skips the calling test where that is not installed."""
        inputs = {f"{form}/{name}": values for form in forms for name, values in self.inputs[form].items()}
        found = run_bvlc(GENUINE, forms=np.array(forms), folder=np.array(str(self.folder)), seed=np.array(SEED),
                         weights=np.array(self.caffemodel), **inputs)
        return {form: {key.split("/", 1)[1]: values for key, values in found.items() if key.startswith(f"{form}/")}
                for form in forms}

    def exact(self, form: str, decided: dict[str, np.ndarray] | None = None, dtype: torch.dtype = torch.float64) -> Run:
        """Run a form in float64: forward, or with what another pass has decided, forward and backward."""
        blobs = {key.split("/", 1)[1]: values for key, values in (decided or {}).items() if key.startswith("data/")}
        net = TorchNet(self.texts[form], form != "test", self.weights, SEED, blobs, dtype)
        return net.run(self.inputs[form], backward=form != "test" and decided is not None)


def prepare(name: str, folder: Path, batch: int = 1) -> Case:
    """Write a net's files."""
    drafts = {form: draft(name, batch=batch, fillers=False, **how) for form, how in FORMS.items()}
    texts = {form: written.text() for form, written in drafts.items()}
    if "BatchNorm" not in texts["test"]:
        del texts["learned"]
    for form, text in texts.items():
        (folder / f"{form}.prototxt").write_text(text)
    params = weights.write(name, batch, folder / "weights.caffemodel").params
    return Case(name, folder, texts, {form: drafts[form].arrays() for form in texts},
                {layer: [torch.tensor(blob.data, dtype=torch.float64) for blob in params[layer]] for layer in params})


def distances(found: dict[str, np.ndarray], run: Run, kind: str) -> dict[str, float]:
    """Return for each blob, or weight, how far it is from float64, relative to its largest value.

    What a Scale's gradient sums may cancel, as it does under a BatchNorm; it is judged by the size that the sum would
    have with random signs, where that is larger.
    """
    result = {}
    for name, want in getattr(run, kind).items():
        if kind == "data" and name in run.places:
            continue
        got = found[f"{kind}/{name}"]
        size = max(np.abs(want).max(), run.summands.get(name, 0) if kind == "param_diff" else 0)
        result[name] = float(np.abs(got - want.reshape(got.shape)).max() / (size or 1.0))
    return result


def arrays(run: Run) -> dict[str, np.ndarray]:
    """Return a run's arrays by the keys that both Caffes have."""
    return {f"{kind}/{name}": values for kind in ("data", "diff", "param_diff")
            for name, values in getattr(run, kind).items()}


def worst(of: dict[str, float]) -> float:
    """Return the greatest distance; not a number where one is not."""
    return float(np.max(list(of.values()), initial=0))


def figures(found: dict[str, np.ndarray], run: Run) -> np.ndarray:
    """Return a row for each array that float64 has: the mean of its sizes and, of values, one in the middle."""
    rows = []
    for kind in ("data", "diff", "param_diff"):
        for name in getattr(run, kind):
            values = found[f"{kind}/{name}"].ravel()
            rows.append((np.abs(values, dtype=np.float64).mean(), values[len(values) // 2] if kind == "data" else 0))
    return np.array(rows, np.float32)


class Comparison:
    """A net's passes beside genuine's and float64's.

    `lines` are the faults so far, `worst` the worst distances, `figures` by form those of ours and genuine and how many
    are of values.
    """

    def __init__(self, case: Case, forms: tuple[str, ...], genuine: bool) -> None:
        self.case, self.lines, self.worst, self.figures = case, [], {}, {}
        judged = [form for form in forms if form != "learned"]
        self.theirs = case.genuine(*judged) if genuine and judged else {}

    def compare(self, form: str, ways: tuple[bool, ...]) -> None:
        """Run a form in this Caffe, with plans or without, and compare all that came of it."""
        free, theirs = self.case.exact(form), self.theirs.pop(form, None)
        other = arrays(self.case.exact(form, dtype=torch.float32)) if theirs is None else theirs
        reach = worst(distances(other, free, "data"))
        for plans in ways:
            found = self.case.ours(form, plans)
            where = f"{self.case.name} {form}{'' if plans else ' layer by layer'}"
            if theirs is not None and list(found) != list(theirs):
                self.lines.append(f"{where}: other blobs than genuine's: {sorted(set(found) ^ set(theirs))}")
            self.judge(f"{where} data", free, found, VALUES, reach)
            self.places(where, free, found)
        run = free if form == "test" else self.case.exact(form, found)
        if form != "test":
            self.gradients(where, form, found, theirs, run)
        self.figures[form] = figures(found, run), None if theirs is None else figures(theirs, run), len(run.data)

    def places(self, where: str, free: Run, found: dict[str, np.ndarray]) -> None:
        """See that the places of maxima hold maxima, or what rounding does not tell from them.

        The pooled blob may have been computed again, in another order, when it was looked at.
        """
        for name, (bottom, kernel, stride) in free.places.items():
            of = torch.tensor(found[f"data/{bottom}"])
            maxima = F.max_pool2d(of, kernel, stride, ceil_mode=True)
            chosen = of.flatten(2).gather(2, torch.tensor(found[f"data/{name}"]).flatten(2).to(torch.int64))
            if not (maxima.flatten(2) - chosen).abs().max() <= VALUES * of.abs().max():
                self.lines.append(f"{where} {name}: not the places of the maxima")

    def gradients(self, where: str, form: str, found: dict, theirs: dict | None, decided: Run) -> None:
        """Compare a TRAIN pass's gradients, and what BatchNorm has learned."""
        if theirs is None:
            other, other_run = arrays(self.case.exact(form, found, torch.float32)), decided
        else:
            other, other_run = theirs, self.case.exact(form, theirs)
        for kind in ("diff", "param_diff"):
            reach = worst(distances(other, other_run, kind))
            self.judge(f"{where} {kind}", decided, found, GRADIENTS, reach)
        if form == "learned":
            self.judge(f"{where} statistics", decided, found, VALUES)

    def judge(self, where: str, run: Run, found: dict, limit: float, reach: float | None = None) -> None:
        """Hold arrays of the kind that `where` ends with against the bound; `reach` is another's worst distance."""
        ours = distances(found, run, where.rpartition(" ")[2])
        self.worst[f"{where}, ours"] = worst(ours)
        if reach is not None:
            self.worst[f"{where}, other"] = reach
            limit = max(limit, 2 * reach, FILTERED.get(self.case.name, 0))
            if not reach <= SANE:
                self.lines.append(f"{where}: the other is {reach:.2g} from float64, so that this compares nothing")
        wrong = [name for name, far in ours.items() if not far <= limit]
        self.lines += [f"{where} {name}: {ours[name]:.2g} from float64, want {limit:.2g} at most" for name in wrong[:3]]
        self.lines += [f"{where}: {len(wrong)} such blobs in all, of {len(ours)}"] if len(wrong) > 3 else []


def compare(name: str, batch: int, forms: tuple[str, ...], genuine: bool) -> Comparison:
    """Compare a net in these forms, in TEST with a plan and without."""
    with tempfile.TemporaryDirectory() as folder:
        case = prepare(name, Path(folder), batch)
        forms = tuple(form for form in forms if form in case.texts)
        found = Comparison(case, forms, genuine)
        for form in forms:
            found.compare(form, (True, False) if form == "test" else (True,))
    return found


def main(argv: list[str] | None = None) -> int:
    """Compare nets and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.caffe.architectures", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=ARCHITECTURES, default=list(ARCHITECTURES))
    parser.add_argument("--batch", nargs="+", type=int, default=[1], help="images (1)")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    args = parser.parse_args(argv)
    genuine = BVLC_PYTHON.exists()
    print("" if genuine else "genuine Caffe is not installed: float64 alone judges")
    wrong = 0
    for batch in args.batch:
        for name in args.only:
            forms = tuple(form for form in args.forms if form == "test" or batch == 1 or name not in LARGE)
            if len(forms) < len(args.forms):
                print(f"batch {batch} {name}: TEST alone, for float64 would take more than 20 GB in TRAIN")
            found = compare(name, batch, forms, genuine)
            for what, far in found.worst.items():
                print(f"batch {batch} {what}: {far:.1e}")
            for line in found.lines:
                print(f"FAULT batch {batch} {line}", flush=True)
            wrong += len(found.lines)
    print(f"{wrong} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
