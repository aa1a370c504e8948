"""draw_net.py: a net's prototxt as a picture.

In:   draw_net.py NET.prototxt IMAGE.   Out:  a picture; the file name determines the format.
Not here: drawing (caffe.draw).         Source: BVLC python/draw_net.py, for behaviour.
"""

from __future__ import annotations

import argparse

from .. import draw
from .._caffe.common import TEST, TRAIN
from .._caffe.files.proto_text import read_net_param_from_text
from .entry import tool

PHASES = {"TRAIN": TRAIN, "TEST": TEST, "ALL": None}


@tool
def main(argv: list[str]) -> int:
    """Run draw_net.py; return the exit code."""
    parser = argparse.ArgumentParser(prog="draw_net.py", description=__doc__.split("\n")[0])
    parser.add_argument("input_net_proto_file", help="Input network prototxt file")
    parser.add_argument("output_image_file", help="Output image file")
    parser.add_argument("--rankdir", default="LR", choices=("LR", "TB", "BT", "RL"), help="direction of the graph")
    parser.add_argument("--phase", default="ALL", choices=tuple(PHASES), help="which phase of the net to draw")
    parser.add_argument("--display_lrm", action="store_true", help="show lr_mult of each layer")
    options = parser.parse_args(argv)
    net = read_net_param_from_text(options.input_net_proto_file)
    print(f"Drawing net to {options.output_image_file}")
    draw.draw_net_to_file(net, options.output_image_file, options.rankdir, PHASES[options.phase], options.display_lrm)
    return 0
