"""Where and when something was measured.

In:   this machine and this checkout.
Out:  texts for tables and records: processor and cores, GPU, date, commit.
Not here: what was measured.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

from bench.peers import ROOT, threads


def gpu() -> str | None:
    """Return the name of the first CUDA device, or None where there is none."""
    if not shutil.which("nvidia-smi"):
        return None
    found = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
    return found.stdout.strip().splitlines()[0] if found.returncode == 0 and found.stdout.strip() else None


def machine() -> str:
    """Return the processor, the cores in use, memory, and the GPU if there is one."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0] if lines else "0"
    card = gpu()
    return f"{model}, {threads()} cores, {int(memory) / 2**20:.0f} GiB" + (f", {card}" if card else "")


def commit() -> str:
    """Return the commit of this checkout, with a + where files differ from it."""
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")


def stamp() -> dict[str, str]:
    """Return date, machine and commit of a measurement made now."""
    return {"date": datetime.now().strftime("%Y-%m-%d %H:%M"), "machine": machine(), "commit": commit()}
