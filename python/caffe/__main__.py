"""`python -m caffe COMMAND`: the tool `caffe`. Not here: anything but the call."""

import sys

from caffe.tools.command import main

if __name__ == "__main__":
    sys.exit(main())
