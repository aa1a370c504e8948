"""What `make bench` measures, as data: a row of the table each, with who takes part and at which size.

In:   nothing.
Out:  MEASURES in full size, and quick(): the same on small nets, to see that the programs run.
Not here: measuring (measure), drawing (report).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bench.peers import PEERS


@dataclass(frozen=True)
class Row:
    """A line of the table: which worker stands in which column."""

    name: str
    title: str
    sides: dict[str, str]  # column: worker


@dataclass(frozen=True)
class Measure:
    """Workers that take turns, and the rows that come of it."""

    name: str
    title: str
    nets: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()  # height, width; a part of a pass each
    kind: str = "forward"
    workers: dict[str, tuple[str, dict]] = field(default_factory=dict)  # name: peer, its options
    rows: tuple[Row, ...] = ()
    steps: int = 1
    spread: float = 60.0  # standard deviation of the images
    program: str = ""  # a module that measures by itself, in place of workers
    needs_gpu: bool = False


def _peers(*names: str) -> dict[str, tuple[str, dict]]:
    return {name: (name, {}) for name in names}


def _sides(**columns: str) -> dict[str, str]:
    return columns


CPU = tuple(PEERS)
TRAINERS = ("ours", "genuine", "eager")
BF16 = {"precision": "bf16"}
ALL = _sides(**{name: name for name in CPU})
MIXED = {"ours bf16": ("ours", BF16), "eager bf16": ("eager", BF16)}
GPU = {f"{peer}{' ' + precision if precision != 'fp32' else ''}": (peer, {"gpu": 0, "precision": precision})
       for peer in ("ours", "eager") for precision in ("fp32", "bf16")}
GPU_ROWS = (("fp32", _sides(ours="ours", eager="eager")), ("bf16", _sides(ours="ours bf16", eager="eager bf16")))


def _gpu(name: str, title: str, **options) -> Measure:
    rows = tuple(Row(f"{name}_{precision}", f"{title}, {precision}", sides) for precision, sides in GPU_ROWS)
    return Measure(name, title, workers=GPU, rows=rows, needs_gpu=True, **options)


MEASURES = (
    Measure("forward", "FCN-8s, forward", ("voc-fcn8s",), ((500, 500),),
            workers={**_peers(*CPU), **MIXED, "by layer": ("ours", {"plans": False})}, rows=(
                Row("forward_fp32", "FCN-8s forward 500×500, fp32", ALL),
                Row("forward_bf16", "… bf16", {**ALL, "ours": "ours bf16", "eager": "eager bf16"}),
                Row("forward_by_layer", "… fp32, layer by layer (no plan)", {**ALL, "ours": "by layer"}))),
    Measure("sizes", "FCN-8s, forward, sizes alternating", ("voc-fcn8s",), ((375, 500), (500, 333)),
            workers={**_peers(*CPU), **MIXED}, rows=(
                Row("sizes_fp32", "FCN-8s forward 375×500 and 500×333 in turn, an image, fp32", ALL),
                Row("sizes_bf16", "… bf16", {**ALL, "ours": "ours bf16", "eager": "eager bf16"}))),
    Measure("step", "FCN-32s, training step", ("voc-fcn32s",), ((500, 500),), "step", workers=_peers(*TRAINERS),
            rows=(Row("step_fp32", "FCN-32s training step 500×500, fp32", ALL),)),
    Measure("step_bf16", "FCN-32s, training step, bf16", ("voc-fcn32s",), ((500, 500),), "step",
            workers={**_peers("genuine"), **MIXED}, rows=(
                Row("step_bf16", "… bf16", {**ALL, "ours": "ours bf16", "eager": "eager bf16"}),)),
    Measure("embedded", "The embedded set's three trainings", ("shapes-fcn32s", "shapes-fcn16s", "shapes-fcn8s"),
            ((192, 256),), "step", _peers(*TRAINERS), steps=10, spread=1.0,
            rows=(Row("embedded", "embedded set's three nets, mean training step 192×256", ALL),)),
    Measure("score", "score.py beside the net", ("voc-fcn8s",), program="bench.score_share"),
    Measure("layers", "The engine's own time a layer", program="bench.per_layer"),
    _gpu("gpu_forward", "FCN-8s forward 500×500, GPU", nets=("voc-fcn8s",), sizes=((500, 500),)),
    _gpu("gpu_step", "FCN-32s training step 500×500, GPU", nets=("voc-fcn32s",), sizes=((500, 500),), kind="step"),
)
SMALL = {"voc-fcn8s": "shapes-fcn8s", "voc-fcn32s": "shapes-fcn32s"}


def quick(measure: Measure) -> Measure:
    """Return the same measure on the embedded set's nets at a tenth of the size."""
    return replace(measure, nets=tuple(SMALL.get(net, net) for net in measure.nets), steps=1,
                   rows=tuple(replace(row, title=f"(small) {row.title}") for row in measure.rows),
                   sizes=tuple((height // 10, width // 10) for height, width in measure.sizes))
