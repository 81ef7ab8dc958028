"""Runs leave the machine only when asked, whole, and to a place that is private unless told otherwise."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workbench.cards.script import without_paths
from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.training.launch import Run, train

WAIT_S = 240
REPO = "someone/small-model"


class StandIn(ThreadingHTTPServer):
    """As much of the model hub as an upload needs; it remembers what it was asked and given."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()
        self.refuses: dict[str, int] = {}
        self.exists = self.public = False


class Answers(BaseHTTPRequestHandler):
    """One answer for each kind of request."""

    server: StandIn

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, value: object, status: int = 200) -> None:
        raw = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def handle_any(self) -> None:
        hub, path, body = self.server, self.path.split("?")[0], self.body()
        hub.asked.append(f"{self.command} {path}")
        for part, status in hub.refuses.items():
            if part in path:
                url = f"{hub.address}/{REPO}"
                return self.answer({"error": "You are not\nallowed to do this", "url": url}, status)
        if self.command == "PUT":
            hub.objects[path.rpartition("/")[2]] = body
            return self.answer({})
        hub.tokens.add(self.headers.get("Authorization"))
        if path == "/api/repos/create":
            hub.created.append(json.loads(body))
            hub.exists, hub.public = True, hub.created[-1]["visibility"] == "public"
            return self.answer({"url": f"{hub.address}/{REPO}", "name": REPO, "id": "1"})
        if path.endswith("/info/lfs/objects/batch"):
            return self.answer(self.batch(json.loads(body)))
        if "/preupload/" in path:
            files = [item["path"] for item in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in files}
            return self.answer(
                {"files": [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes.items()]}
            )
        if "/commit/" in path:
            self.commit([json.loads(line) for line in body.splitlines()])
            return self.answer({"success": True, "commitOid": "0" * 40, "commitUrl": f"{hub.address}/{REPO}/commit/0"})
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if path == f"/api/models/{REPO}" and hub.exists:
            return self.answer({"id": REPO, "private": not hub.public, "siblings": []})
        return self.answer({"error": f"no {path}"}, 404)

    do_GET = do_POST = do_PUT = handle_any

    def batch(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return {
            "transfer": "basic",
            "objects": [
                {**item, "actions": {"upload": {"href": f"{self.server.address}/store/{item['oid']}", "header": {}}}}
                for item in wanted["objects"]
            ],
        }

    def commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            if line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.objects[value["oid"]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in on this machine; only with it is the hub's library allowed to use the network."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # it speaks to servers of its own
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    close_session()
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    close_session()


@pytest.fixture(scope="module")
def finished(recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run."""
    return train(recipe(max_steps=1), folder=tmp_path_factory.mktemp("runs") / "run").wait(WAIT_S)


def test_model_card_and_recipe_arrive_whole_in_a_private_place(finished: Run, hub: StandIn) -> None:
    address = finished.push_to_hub(REPO, token="hf_secret", endpoint=hub.address)
    assert address == f"{hub.address}/{REPO}"
    assert [(place["organization"], place["name"], place["visibility"]) for place in hub.created] == [
        ("someone", "small-model", "private")
    ]
    published = hub.files["recipe.yaml"].decode()
    assert published == without_paths(finished.recipe).to_yaml()
    assert str(finished.folder.parent) not in published
    for path in finished.model_folder.rglob("*"):
        if path.is_file():
            assert hub.files[path.relative_to(finished.model_folder).as_posix()] == path.read_bytes(), path.name
    assert {"README.md", "model.safetensors", "modules.json"} <= set(hub.files)
    assert hub.tokens == {"Bearer hf_secret"}


def test_a_public_place_is_made_only_when_asked_for(finished: Run, hub: StandIn) -> None:
    finished.push_to_hub(REPO, private=False, token="hf_secret", endpoint=hub.address)
    assert [place["visibility"] for place in hub.created] == ["public"]
    assert "model.safetensors" in hub.files


def test_what_shall_be_private_is_not_put_into_a_public_place_that_exists(finished: Run, hub: StandIn) -> None:
    hub.refuses, hub.exists, hub.public = {"/api/repos/create": 409}, True, True
    with pytest.raises(RunError, match=r"'someone/small-model' to be private.*it is public; .*private=False"):
        finished.push_to_hub(REPO, token="hf_secret", endpoint=hub.address)
    assert not hub.files
    finished.push_to_hub(REPO, private=False, token="hf_secret", endpoint=hub.address)
    assert "model.safetensors" in hub.files


def test_a_private_place_that_exists_is_written_anew(finished: Run, hub: StandIn) -> None:
    hub.refuses, hub.exists = {"/api/repos/create": 409}, True
    finished.push_to_hub(REPO, token="hf_secret", endpoint=hub.address)
    assert "model.safetensors" in hub.files


@pytest.mark.parametrize("where", ["/api/repos/create", "/preupload/", "/info/lfs/", "/store/", "/commit/"])
def test_a_refusal_is_one_sentence(finished: Run, hub: StandIn, where: str) -> None:
    hub.refuses = {where: 403}
    with pytest.raises(RunError, match=r"expected to publish 'someone/small-model', but .*; check the name") as caught:
        finished.push_to_hub(REPO, token="hf_secret", endpoint=hub.address)
    assert "\n" not in str(caught.value)
    assert "hf_secret" not in str(caught.value)
    assert "model.safetensors" not in hub.files


def test_a_server_that_is_not_there_is_one_sentence(finished: Run, hub: StandIn) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(RunError, match="refused or could not be reached"):
        finished.push_to_hub(REPO, token="hf_secret", endpoint=nobody)


def test_a_name_that_is_none_is_refused_before_anything_is_sent(finished: Run, hub: StandIn) -> None:
    with pytest.raises(RunError, match=r"'no/good/name'.*check the name"):
        finished.push_to_hub("no/good/name", token="hf_secret", endpoint=hub.address)
    assert not hub.asked


def test_a_run_without_a_model_is_refused_before_anything_is_sent(finished: Run, hub: StandIn, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(finished.files.recipe.read_bytes())
    with pytest.raises(RunError, match="expected a finished model"):
        Run(tmp_path).push_to_hub(REPO, token="hf_secret", endpoint=hub.address)
    assert not hub.asked


def test_nothing_is_contacted_without_the_call(finished: Run, hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    touched: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: touched.append(address))
    assert finished.state == "finished"
    assert finished.card
    assert finished.scores
    assert repr(finished)
    finished.export(finished.folder.parent / "packed.zip")
    assert not touched
    assert not hub.asked
    assert not re.search(r"https?://(?!huggingface\.co|sbert\.net|www\.SBERT\.net)", finished.log())


def test_a_disk_that_fails_leaves_no_half_of_a_zip_file(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finished.export(tmp_path / "run.zip").read_bytes()
    write, written = zipfile.ZipFile.write, []

    def full(archive: zipfile.ZipFile, *args: Any, **settings: Any) -> None:
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(args)
        write(archive, *args, **settings)

    monkeypatch.setattr(zipfile.ZipFile, "write", full)
    for name in ("run.zip", "other.zip"):
        written.clear()
        with pytest.raises(RunError, match=rf"expected to write .*{name}, but .*No space left on device"):
            finished.export(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["run.zip"]
    assert (tmp_path / "run.zip").read_bytes() == whole


def test_a_zip_file_for_a_folder_that_is_not_there_is_refused(finished: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="choose another place"):
        finished.export(tmp_path / "missing" / "run.zip")
    assert not (tmp_path / "missing").exists()
