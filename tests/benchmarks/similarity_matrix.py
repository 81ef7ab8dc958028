"""From the last keystroke to new numbers on the page: the similarity matrix in a real JupyterLab and a real browser.

Ten sentences under all-MiniLM-L6-v2 and under a second model of its size. Each edit types one more word at the end of
one sentence; the page's own clock runs from the last `input` event to the change of the tables.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
KEY_MS = 60
WORDS = (
    "gradient token margin batch query vector layer corpus metric label anchor prompt epoch kernel seed rank".split()
)
CELL = """
from workbench.widgets.similarity_matrix import EXAMPLES, SimilarityMatrix
texts = [*EXAMPLES, *(f"Sentence number {{n}} is about the size of a batch." for n in range(30))][:{sentences}]
panel = SimilarityMatrix(texts, tuned={tuned!r}, pause_ms={pause_ms})
panel
"""
WATCH = """() => {
  const box = document.querySelector('.wb-sentences textarea'), tables = document.querySelector('.wb-matrices');
  box.addEventListener('input', () => { window.typed = performance.now() });
  window.nextChange = () => { window.change = new Promise(resolve => {
    const watch = new MutationObserver(() => { watch.disconnect();
      const seen = performance.now();
      requestAnimationFrame(() => setTimeout(() => resolve([seen - window.typed, performance.now() - window.typed]))) });
    watch.observe(tables, {subtree: true, childList: true, characterData: true, attributes: true}) }); return 0 };
}"""
CARET = """row => { const box = document.querySelector('.wb-sentences textarea'); box.focus();
  const end = box.value.split('\\n').slice(0, row + 1).join('\\n').length; box.setSelectionRange(end, end) }"""


def perturbed(folder: Path) -> Path:
    """Another model of the same size: the default model with noise on its weights."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    from workbench.catalog import models

    source, draw = models.files(MODEL), np.random.default_rng(0)
    for path in source.rglob("*"):
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.suffix != ".safetensors":
            target.write_bytes(path.read_bytes())
    weights = load_file(source / "model.safetensors")
    noisy = {
        name: (values + draw.normal(scale=0.1 * values.std(), size=values.shape)).astype(values.dtype)
        for name, values in weights.items()
        if values.dtype.kind == "f"
    }
    save_file({**weights, **noisy}, folder / "model.safetensors", {"format": "pt"})
    return folder


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks similarity_matrix", description=__doc__)
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--sentences", type=int, default=10)
    parser.add_argument("--pause-ms", type=int, default=300)
    parser.add_argument("--small", action="store_true", help="three edits: shows that it works")
    options = parser.parse_args(arguments)
    if options.small:
        options.edits = 3
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.edits, options.sentences, options.pause_ms)
    print(
        f"new numbers {result['p95_ms']} ms after the pause of {options.pause_ms} ms (95th percentile of {options.edits})"
    )
    print(json.dumps(result))


def measure(folder: Path, edits: int, sentences: int, pause_ms: int) -> dict[str, object]:
    from tests.lab.page import Lab, browser
    from tests.lab.server import Server

    tuned = perturbed(folder / "perturbed")
    (folder / "notebooks").mkdir()
    server = Server(folder / "notebooks")
    try:
        with browser(folder / "profile") as context:
            lab = Lab(server, context, "similarity")
            lab.open(CELL.format(sentences=sentences, tuned=str(tuned), pause_ms=pause_ms)).run_all()
            lab.expect(".wb-message").to_contain_text(f"{sentences} sentences compared", timeout=120_000)
            lab.page.evaluate(WATCH)
            load, times = os.getloadavg(), [_edit(lab, n, sentences) for n in range(edits)]
            lab.close()
    finally:
        server.stop()
    changed, drawn = ([time - pause_ms for time in column] for column in zip(*times, strict=True))
    return {
        "median_ms": round(statistics.median(changed), 1),
        "p95_ms": round(statistics.quantiles(changed, n=20)[-1], 1),
        "max_ms": round(max(changed), 1),
        "p95_drawn_ms": round(statistics.quantiles(drawn, n=20)[-1], 1),
        "pause_ms": pause_ms,
        "edits": edits,
        "sentences": sentences,
        "cpu_count": os.cpu_count(),
        "load_before": [round(value, 2) for value in load],
        "load_after": [round(value, 2) for value in os.getloadavg()],
    }


def _edit(lab: Any, number: int, sentences: int) -> tuple[float, float]:
    """Type a word at the end of a sentence. (ms to the new numbers, ms until they are drawn), both from the last key."""
    page, draw = lab.page, random.Random(number)
    page.evaluate(CARET, draw.randrange(sentences))
    page.evaluate("nextChange()")
    page.keyboard.type(f" {draw.choice(WORDS)}", delay=KEY_MS)
    changed, drawn = page.evaluate("change")
    page.wait_for_timeout(draw.uniform(50, 400))
    return changed, drawn
