"""How soon the page of recordings appears when it lists many results.

    python benchmarks/recordings_page.py [--results 500] [--runs 5]

A real server gets a folder with copies of the result of a transcript, and Chromium opens its page. Printed are the median and
the longest time, from the start of the navigation, until the page is painted for the first time, and until the first results
are on the screen.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from vatrace import load_model
from vatrace.web.jobs import Jobs

TEXT = "1\n00:00:00,000 --> 00:00:30,000\nWhat a wonderful day, until the terrible news came and nobody spoke.\n"
TIMES = """() => new Promise(resolve => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
    if (paint === undefined || !document.querySelector("#jobs .job")) return resolve(null);
    requestAnimationFrame(() => requestAnimationFrame(() => resolve([paint, window.drawn ??= performance.now()])));
})"""
"""Milliseconds until the first paint, and until the results are drawn; null before that."""
WATCH = """new MutationObserver(() => {
    if (window.drawn || !document.querySelector("#jobs .job")) return;
    requestAnimationFrame(() => setTimeout(() => { window.drawn ??= performance.now(); }));
}).observe(document, { childList: true, subtree: true });"""


def fill(folder: Path, num_results: int) -> None:
    """Write a folder of results: one is predicted, the others are its copies."""
    jobs = Jobs(folder, load_model)
    job, path = jobs.add("talk 000.srt")
    path.write_text(TEXT)
    jobs.start(job)
    while jobs.get(job.id).state not in {"done", "failed"}:
        pass
    jobs.close()
    first = folder / job.id
    content = json.loads((first / "job.json").read_text())
    for number in range(1, num_results):
        name = f"{job.id[:-4]}{number:04x}x"
        shutil.copytree(first, folder / name)
        (folder / name / "job.json").write_text(json.dumps(content | {"id": name, "name": f"talk {number:03}.srt"}))


def measure(address: str, num_runs: int) -> list[tuple[float, float]]:
    """Open the page several times, each in a new browser context; seconds until the first paint and until results are drawn."""
    found = []
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(num_runs):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.add_init_script(WATCH)
            page.goto(address)
            while (times := page.evaluate(TIMES)) is None:
                page.wait_for_timeout(20)
            found.append((times[0] / 1000, times[1] / 1000))
            page.close()
        browser.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name), args.results)
        command = [sys.executable, "-m", "vatrace.cli", "serve", "--port", "0", "--no-browser", "--folder", name]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        found = measure(server.stdout.readline().strip(), args.runs)
        server.terminate()
        server.wait()
    for what, times in zip(("first paint", "results drawn"), zip(*found, strict=True), strict=True):
        print(f"{what:14} median {statistics.median(times):.2f} s, longest {max(times):.2f} s ({args.results} results)")


if __name__ == "__main__":
    main()
