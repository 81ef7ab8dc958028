"""A throw-away notebook server on this machine: its settings, data and kernels live in one temporary folder."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.error import URLError

Application = Literal["lab", "notebook", "voila"]
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
_MODULES = {"lab": "jupyterlab", "notebook": "notebook", "voila": "voila"}


class Server:
    """JupyterLab, Notebook or Voila in a session of its own.

    Args:
        root: the folder that it serves.
        app: which of the three.
        environment: variables for the server and its kernels, over those of this process.

    Attributes:
        base: address without a slash at its end.
        token: what the address needs as `?token=`.
    """

    def __init__(self, root: Path, app: Application = "lab", environment: Mapping[str, str] | None = None) -> None:
        self.root, self.app, self.token = root, app, secrets.token_hex(8)
        self._home = Path(tempfile.mkdtemp(prefix="lab-server-"))
        self.set_theme("light")
        port = _free_port()
        self.base = f"http://127.0.0.1:{port}"
        with (self._home / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(port),
                env={**os.environ, **self._folders(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.stop)
        self._wait()

    def set_theme(self, theme: Literal["light", "dark"]) -> None:
        """Choose the theme of every page that is opened from now on."""
        settings = {
            "themes": {"theme": THEMES[theme]},
            # the pop-up that asks about news covers what is below it
            "notification": {"fetchNews": "false", "checkForUpdates": False},
        }
        folder = self._home / "settings" / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in settings.items():
            (folder / f"{name}.jupyterlab-settings").write_text(json.dumps(values))

    @property
    def pid(self) -> int:
        """Number of the server's process."""
        return self._process.pid

    def log(self) -> str:
        """What the server printed last."""
        return (self._home / "server.log").read_text(errors="replace")[-4000:]

    def ask(self, path: str, method: str = "GET") -> Any:
        """Ask the server's interface, for instance for `kernels`; None where it answers nothing."""
        request = urllib.request.Request(
            f"{self.base}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def end_kernel(self, notebook: str) -> None:
        """Shut down the kernel of a notebook, if it has one."""
        for session in self.ask("sessions"):
            if session["path"] == notebook:
                self.ask(f"sessions/{session['id']}", "DELETE")

    def stop(self) -> None:
        """End the server and its kernels; remove its folder."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    def _command(self, port: int) -> list[str]:
        command = [sys.executable, "-m", _MODULES[self.app], "--no-browser", f"--port={port}"]
        if self.app == "voila":
            return [*command, "--Voila.ip=127.0.0.1", f"--token={self.token}", str(self.root)]
        return [
            *command,
            "--ip=127.0.0.1",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.root}",
            "--ServerApp.terminals_enabled=False",
            "--allow-root",
            # window.jupyterapp: tests give commands instead of clicking through menus
            "--expose-app-in-browser",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--LabApp.extension_manager=readonly",
        ]

    def _folders(self) -> dict[str, str]:
        variables = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "WORKBENCH_HOME": "workbench",
        }
        return {
            **{name: str(self._home / folder) for name, folder in variables.items()},
            "JUPYTER_PLATFORM_DIRS": "1",
            "HF_HUB_OFFLINE": "1",
            # a kernel is started as "python": the one that runs the tests
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def _wait(self, timeout_s: float = 240.0) -> None:
        address = f"{self.base}/{'voila/static/' if self.app == 'voila' else 'api/status'}"
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended:\n{self.log()}")
            try:
                urllib.request.urlopen(f"{address}?token={self.token}", timeout=20).close()
            except (URLError, TimeoutError, ConnectionError) as error:
                if getattr(error, "code", None) is not None:
                    return
                time.sleep(0.05)
            else:
                return
        raise TimeoutError(f"the server did not answer in {timeout_s:.0f} s:\n{self.log()}")


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
