"""A button that hands a file of the kernel's machine to the browser, wherever that is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

PIECE_BYTES = 2 * 2**20
# The page asks for one piece after the other, so that a slow line is never flooded.
_ESM = """
function render({ model, el }) {
  const button = document.createElement("button");
  button.className = "jupyter-button jupyter-widgets widget-button";
  const label = () => { button.textContent = model.get("label"); button.disabled = model.get("disabled");
                        button.title = model.get("hint"); };
  label();
  for (const name of ["label", "disabled", "hint"]) model.on("change:" + name, label);
  let pieces = [];
  const hear = (message, buffers) => {
    if (message.kind === "begin") { pieces = []; model.send({ kind: "piece", number: 0 }); }
    if (message.kind === "piece") {
      pieces.push(buffers[0]);
      button.textContent = `${model.get("label")}: ${Math.round(100 * pieces.length / message.of)} %`;
      if (pieces.length < message.of) { model.send({ kind: "piece", number: pieces.length }); return; }
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(pieces));
      link.download = message.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      pieces = []; label();
    }
    if (message.kind === "failed") { pieces = []; label(); }
  };
  model.on("msg:custom", hear);
  button.onclick = () => { button.textContent = model.get("label") + " …"; model.send({ kind: "want" }); };
  el.appendChild(button);
  return () => model.off("msg:custom", hear);
}
export default { render };
"""


class Download(anywidget.AnyWidget):
    """A button that downloads the file that `make` makes.

    Args:
        label: text on the button.
        make: called on a thread of its own when the button is clicked; returns the file.
        failed: called with the exception when `make` raised.
        hint: what the file holds.
    """

    _esm = _ESM
    label = t.Unicode("Download").tag(sync=True)
    hint = t.Unicode("").tag(sync=True)
    disabled = t.Bool(False).tag(sync=True)

    def __init__(
        self, label: str, make: Callable[[], Path], failed: Callable[[Exception], None], *, hint: str = ""
    ) -> None:
        super().__init__(label=label, hint=hint)
        self._make, self._failed = make, failed
        self._file: Path | None = None
        self.on_msg(self._hear)

    def _hear(self, _: Any, message: dict[str, Any], buffers: Any) -> None:
        if message.get("kind") == "want":
            threading.Thread(target=self._begin, daemon=True).start()
        elif message.get("kind") == "piece" and self._file is not None:
            self._piece(int(message.get("number", 0)))

    def _begin(self) -> None:
        try:
            self._file = self._make()
        except Exception as error:  # told by the panel, in its message line
            self.send({"kind": "failed"})
            self._failed(error)
            return
        self.send({"kind": "begin"})

    def _piece(self, number: int) -> None:
        assert self._file is not None
        pieces = max(1, -(-self._file.stat().st_size // PIECE_BYTES))
        with self._file.open("rb") as file:
            file.seek(number * PIECE_BYTES)
            self.send({"kind": "piece", "of": pieces, "name": self._file.name}, buffers=[file.read(PIECE_BYTES)])
