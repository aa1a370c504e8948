"""The tool `caffe`: train, test or time a net, or describe the GPUs.

In:   `caffe train|test|time|device_query` and options in the form of gflags.
Out:  Caffe's log lines on stderr, snapshots, an exit code.
Not here: the commands train and test (brew), time (benchmark), the form of options (flags).
Source: BVLC tools/caffe.cpp.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch

from .._caffe import log
from . import benchmark, brew, gpus
from .entry import tool
from .flags import Flag, Help, parse, show_help

USAGE = """command line brew
usage: caffe <command> <args>

commands:
  train           train or finetune a model
  test            score a model
  device_query    show GPU diagnostic information
  time            benchmark model execution time"""

FLAGS = [
    Flag("gpu", "", "run in GPU mode on given device IDs separated by ','; 'all' for all. The effective training "
         "batch size is multiplied by the number of devices"),
    Flag("solver", "", "the solver definition protocol buffer text file"),
    Flag("model", "", "the model definition protocol buffer text file"),
    Flag("phase", "", "network phase (TRAIN or TEST); only used for 'time'"),
    Flag("level", 0, "network level"),
    Flag("stage", "", "network stages (not to be confused with phase), separated by ','"),
    Flag("snapshot", "", "the snapshot solver state to resume training"),
    Flag("weights", "", "the pretrained weights to initialize finetuning, separated by ','; not with -snapshot"),
    Flag("iterations", 50, "the number of iterations to run"),
    Flag("sigint_effect", "stop", "action to take when a SIGINT signal is received: snapshot, stop or none"),
    Flag("sighup_effect", "snapshot", "action to take when a SIGHUP signal is received: snapshot, stop or none"),
]


def device_query(options: SimpleNamespace) -> None:
    """Log the properties of the GPUs given by -gpu (default: all)."""
    log.info(f"Querying GPUs {options.gpu or 'all'}", "caffe.cpp:138")
    for number in gpus.chosen(options.gpu or "all"):
        found = torch.cuda.get_device_properties(number)
        facts = {"Device id": number, "Name": found.name, "Major revision number": found.major,
                 "Minor revision number": found.minor, "Total global memory": found.total_memory,
                 "Number of multiprocessors": found.multi_processor_count}
        for what, value in facts.items():
            log.info(f"{what + ':':<31}{value}", "common.cpp:177")


COMMANDS = {"train": brew.train, "test": brew.test, "time": benchmark.time_net, "device_query": device_query}


@tool
def main(argv: list[str]) -> int:
    """Run `caffe COMMAND`; return the exit code."""
    try:
        options = parse(argv, FLAGS, USAGE)
    except Help as text:
        return show_help(text)
    if len(options.words) != 1:
        given = f"got {len(options.words)} ({' '.join(options.words)})" if options.words else "got none"
        raise ValueError(f"caffe: {given}, want one command of {', '.join(COMMANDS)}; caffe -help tells more")
    command = options.words[0]
    if command not in COMMANDS:
        raise ValueError(f"caffe: Unknown action: {command}; want one of {', '.join(COMMANDS)}")
    COMMANDS[command](options)
    return 0
