#!/usr/bin/env bash
# Makes the project's environment: .venv (Python >= 3.10), its path entries, and, where Python 3.9 is found,
# .venv-bvlc with genuine Caffe for the oracle tests. Called by `make setup`.
set -euo pipefail
cd "$(dirname "$0")"

pick_python() {  # the first of the given commands that runs and is of the wanted version
    local want=$1; shift
    for candidate in "$@"; do
        if "$candidate" -c "import sys; sys.exit(not ($want))" >/dev/null 2>&1; then echo "$candidate"; return; fi
    done
}

python=$(pick_python "(3, 10) <= sys.version_info < (3, 14)" python3.11 python3.12 python3.10 python3.13 python3 python)
if [ -z "$python" ]; then
    echo "setup: no Python 3.10 to 3.13 found; install Python 3.11" >&2; exit 2
fi

echo "setup: .venv with $("$python" --version) (a minute or two; torch is the large part)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt

# `import caffe`, `import nets` and `module: "voc_layers"` from anywhere in this environment, without sys.path edits.
site=$(.venv/bin/python -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")
printf '%s\n%s\n%s\n' "$PWD" "$PWD/python" "$PWD/layers" > "$site/fcn-toolkit.pth"

old=$(pick_python "sys.version_info[:2] == (3, 9)" python3.9 \
    "$(command -v pyenv >/dev/null 2>&1 && pyenv prefix 3.9.18 2>/dev/null || echo /nonexistent)/bin/python3.9")
if [ -n "$old" ] && [ ! -e .venv-bvlc/.complete ]; then
    echo "setup: .venv-bvlc with genuine Caffe, for the oracle tests ($("$old" --version))"
    if "$old" -m venv .venv-bvlc && .venv-bvlc/bin/python -m pip install --quiet --disable-pip-version-check \
            kendryte-caffe 'numpy<1.24' 'protobuf<3.21' pillow scipy matplotlib tqdm; then
        touch .venv-bvlc/.complete
    else
        echo "setup: genuine Caffe could not be installed; the tests against it will skip" >&2
        rm -rf .venv-bvlc
    fi
elif [ -z "$old" ]; then
    echo "setup: no Python 3.9 found, so no genuine Caffe; the tests against it use recorded numbers"
fi
touch .venv/.complete
