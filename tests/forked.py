"""Run a function in a forked child, and bring back what it returns.

In:   a function without arguments.
Out:  what it returned; AssertionError where it raised, or took too long.
Not here: what is compared.
"""

from __future__ import annotations

import os
import pickle
import signal
import traceback


def in_child(work, seconds=60):
    """Return what `work()` returns in the child of a fork, which may take so many seconds."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            signal.alarm(seconds)
            os.close(ours)
            with os.fdopen(theirs, "wb") as file:
                pickle.dump(work(), file)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        sent = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status == 0, f"the child ended with {status} (-{signal.SIGALRM}: it hung)"
    return pickle.loads(sent)
