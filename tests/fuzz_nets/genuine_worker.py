"""The side of genuine Caffe's process: Python 3.9, with nothing of this project but scenario beside it.

In:   stdin: a case a line, as JSON.
Out:  stdout: for each a line of JSON (labels and shapes of what was seen, what was raised), then the float32 values.
"""

import json
import os
import sys

import scenario  # beside this file

import caffe


def main():
    """Run cases until stdin ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what Caffe prints goes elsewhere
    for line in sys.stdin:
        case = json.loads(line)
        caffe.set_random_seed(case["seed"])
        seen, raised = scenario.run(caffe, case, os.getcwd())
        head = {"seen": [(label, array.shape) for label, array in seen], "raised": raised}
        out.write(json.dumps(head).encode() + b"\n")
        for _, array in seen:
            out.write(array.tobytes())
        out.flush()


if __name__ == "__main__":
    main()
