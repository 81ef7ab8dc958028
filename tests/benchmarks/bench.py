"""What the Bench costs: time to the first control, bytes over the socket, memory of the kernel, size of the saved notebook.

    python -m tests.benchmarks bench [--run] [--small]

With --run a fine-tune goes on beside the open Bench, and the memory of server, kernel and worker together is taken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from tests.lab.page import Lab, browser
from tests.lab.server import Server

TABS = ("Data", "Model", "Loss", "Try", "Settings", "Check", "Run", "Map", "Compare", "Similarity")
KINDS = ("comm_open", "comm_msg", "display_data", "update_display_data")
OPEN = "import workbench as wb\nbench = wb.Bench('glossary/qa')\nbench"


def pss_mb(pids: list[int]) -> float:
    """Sum of proportional set sizes in MB."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().pss
        except psutil.Error:
            continue
    return round(total / 2**20, 1)


def count(shown: Counter[str], frame: str | bytes) -> None:
    """Bytes of what panels send to the page; what this benchmark asks the kernel is not counted."""
    raw = frame if isinstance(frame, bytes) else frame.encode()
    kind = next((kind for kind in KINDS if f'"msg_type": "{kind}"'.encode() in raw[:1000]), None)
    if kind:
        shown[kind] += len(raw)


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    here = psutil.Process(pid)
    return [pid, *(child.pid for child in here.children(recursive=True))]


def main(arguments: list[str]) -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks bench", description=__doc__)
    parser.add_argument("--run", action="store_true", help="also make a fine-tune, and count what it sends")
    parser.add_argument("--small", action="store_true", help="the same; it is short as it is")
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {"load_average": psutil.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "notebooks"
        root.mkdir()
        server = Server(root)
        try:
            with browser(Path(folder) / "profile") as context, Lab(server, context, "bench") as lab:
                shown = Counter[str]()
                lab.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: count(shown, frame)))
                lab.open(OPEN, "pass")
                kernel = int(lab.py("import os; print(os.getpid())"))
                found["kernel_alone_mb"] = pss_mb([kernel])
                start = time.perf_counter()
                lab.page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell'); 0")
                lab.expect(lab.output().get_by_role("tab", name="Model", exact=True).first).to_be_visible()
                lab.expect(lab.output().get_by_label("Page", exact=False).first).to_be_visible()
                found["first_control_s"] = round(time.perf_counter() - start, 2)
                lab.wait_idle()
                found["opened_bytes"] = shown.total()
                for tab in TABS:
                    lab.output().get_by_role("tab", name=tab, exact=True).first.click()
                    lab.page.wait_for_timeout(300)
                lab.py("bench.settle(60)")
                found["all_tabs_bytes"] = shown.total()
                found["kernel_mb"] = pss_mb([kernel])
                lab.py("from workbench.spaces.engine import engine; engine().close()")
                if options.run:
                    found |= with_run(lab, server, kernel)
                lab.save()
                time.sleep(3)
                found["all_bytes"] = shown.total()
                found["kernel_end_mb"] = pss_mb([kernel])
                found["saved_notebook_bytes"] = lab.path.stat().st_size
        finally:
            server.stop()
    sys.stdout.write(json.dumps(found) + "\n")


def with_run(lab: Lab, server: Server, kernel: int) -> dict[str, Any]:
    """A fine-tune, a map and a comparison in the open Bench, and the most memory that all processes held."""
    lab.output().get_by_role("tab", name="Run", exact=True).first.click()
    lab.output().get_by_role("button", name="Start", exact=True).first.click()
    peak: dict[str, float] = {"all_mb": 0.0}
    watched = {"run": "bench.panel('Run').state == 'finished'"}
    end = time.monotonic() + 600
    while lab.py(f"print({watched['run']})") != "True" and time.monotonic() < end:
        _take(peak, server, kernel, lab)
        time.sleep(0.5)
    after_run = dict(peak)
    lab.py("bench.panel('Map').draw(); bench.panel('Compare').draw()")
    while lab.py("print(bench.panel('Map')._jobs or bench.panel('Compare')._jobs)") not in ("set()",):
        _take(peak, server, kernel, lab)
        time.sleep(0.5)
        if time.monotonic() > end:
            break
    return {"peak_during_run": after_run, "peak_with_maps": peak}


def _take(peak: dict[str, float], server: Server, kernel: int, lab: Lab) -> None:
    worker = lab.py("run = bench.panel('Run').run; print(run.status.pid if run else '')")
    pids = {
        *family(server.pid),
        *family(kernel),
        *(family(int(worker)) if worker.isdigit() and psutil.pid_exists(int(worker)) else []),
    }
    now = pss_mb(sorted(pids))
    if now > peak["all_mb"]:
        peak |= {"all_mb": now, "kernel_mb": pss_mb([kernel]), "server_mb": pss_mb([server.pid])}
