"""A card that is none: torch's CUDA device with its numbers on the processor, for all that follows from the device alone.

What is asked of it is what a GPU refuses: tensors of two devices in one operation, numbers read without being brought
over. What it cannot show is speed, kernels, and what happens at the same time. `load` before anything imports torch.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import shutil
import subprocess
import sysconfig
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SOURCE = Path(__file__).with_name("card.cpp")
NAME = "an emulated card"
KINDS: dict[str, Any] = {}
# Operations whose tensors that say where to look may lie on the processor, as torch allows it
INDEXED = {"aten::index.Tensor", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


def built(folder: Path) -> Path | None:
    """The library that torch is told by; None without a compiler or torch's headers."""
    torch, made = Path(sysconfig.get_paths()["purelib"]) / "torch", folder / "card.so"
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None or not (torch / "include" / "ATen").is_dir() or not (torch / "lib" / "libc10.so").is_file():
        return None
    where = [f"-I{torch / 'include'}", f"-L{torch / 'lib'}", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{torch / 'lib'}"]
    subprocess.run([compiler, "-std=c++20", "-shared", "-fPIC", str(SOURCE), "-o", str(made), *where], check=True)
    return made


def load(library: str) -> None:
    """Tell torch, which nobody may have imported before."""
    ctypes.CDLL(library, os.RTLD_GLOBAL)


def back(inner: Any, requires_grad: bool) -> Any:
    """A tensor on the card, from what a file holds of it."""
    return KINDS["tensor"](inner).requires_grad_(requires_grad)


def put_in() -> Any:
    """Put the card into this process, for good.

    Returns:
        A context in which tensors are made on the card; its attribute `ops` counts what is computed there, by name.
    """
    import torch
    from torch.cuda import memory, random
    from torch.utils import _device, _pytree
    from torch.utils._python_dispatch import TorchDispatchMode

    for name in ("sentence_transformers", "torch._dynamo"):  # they look at torch as it was
        importlib.import_module(name)
    _device._device_constructors()
    ops: Counter[str] = Counter()

    class Card(torch.Tensor):
        __torch_function__ = torch._C._disabled_torch_function_impl

        @staticmethod
        def __new__(cls: Any, inner: torch.Tensor) -> Any:
            like = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
            with torch.inference_mode(False):
                return torch.Tensor._make_wrapper_subclass(cls, inner.shape, device="cuda:0", **like)

        def __init__(self, inner: torch.Tensor) -> None:
            self.inner = inner

        def __deepcopy__(self, memo: dict[int, Any]) -> Any:
            memo[id(self)] = made = Card(self.inner.clone()).requires_grad_(self.requires_grad)
            return made

        def __reduce_ex__(self, protocol: Any) -> Any:
            return back, (self.inner, self.requires_grad)

        def __repr__(self, **_: Any) -> str:
            return f"{NAME}: {self.inner!r}"

        def data_ptr(self) -> int:
            return self.inner.data_ptr()

        def untyped_storage(self) -> Any:
            return self.inner.untyped_storage()

        def tolist(self) -> Any:
            return self.inner.tolist()

        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return computed(func, args, kwargs or {})

    KINDS["tensor"] = Card

    def bare(value: Any) -> Any:
        if isinstance(value, torch.device):
            return torch.device("cpu") if value.type == "cuda" else value
        return value.inner if isinstance(value, Card) else value

    def computed(func: Any, args: Any, kwargs: Any) -> Any:
        name, given = func.name(), _pytree.arg_tree_leaves(*args, **kwargs)
        there, device = [one for one in given if isinstance(one, Card)], kwargs.get("device")
        to_card = torch.device(device).type == "cuda" if device is not None else bool(there)
        if name == "aten::_to_copy":
            rest = {key: value for key, value in kwargs.items() if key not in ("device", "non_blocking", "pin_memory")}
            made = func(bare(args[0]), **rest, **({"device": bare(device)} if not to_card and device else {}))
            return Card(made) if to_card else made
        if name == "aten::copy_":
            func(bare(args[0]), bare(args[1]))
            return args[0]
        if there:
            ops[name] += 1
            asked = [args[0]] if name in INDEXED else given
            if any(isinstance(one, torch.Tensor) and not isinstance(one, Card) and one.ndim for one in asked):
                raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu ({name})")
        plain, options = _pytree.tree_map(bare, (args, kwargs))
        options.pop("pin_memory", None)
        made = func(*plain, **options)
        known = {id(one.inner): one for one in there}
        if not to_card:
            return made
        return _pytree.tree_map_only(torch.Tensor, lambda one: known[id(one)] if id(one) in known else Card(one), made)

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return computed(func, args, kwargs or {})

    def brought(make: Any) -> Any:
        def made(data: Any, *given: Any, device: Any = None, requires_grad: bool = False, **options: Any) -> Any:
            out = data if isinstance(data, torch.Tensor) else make(data, *given, **options)
            if device is not None or isinstance(data, torch.Tensor):
                out = out.to(device=device, **options) if device is not None else out.to(**options) if options else out
            return out.requires_grad_() if requires_grad else out

        return made

    said = answers(torch)
    for place in (torch.cuda, random, memory):
        for name, value in said.items():
            if place is torch.cuda or hasattr(place, name):
                setattr(place, name, value)
    for name in ("tensor", "as_tensor"):  # they leave out whoever stands between
        setattr(torch, name, brought(getattr(torch, name)))
    torch.version.cuda = "12.8"
    torch.Tensor.pin_memory = lambda self, *_: self  # type: ignore[method-assign]
    torch.__future__.set_swap_module_params_on_conversion(True)  # weights stay the same objects
    torch.serialization.add_safe_globals([back])
    mode = Mode()
    mode.ops = ops
    return mode


def answers(torch: Any) -> dict[str, Any]:
    """What the card says of itself, by the name of the function in torch.cuda."""

    def nothing(*_: Any, **__: Any) -> None: ...

    known = SimpleNamespace(major=9, minor=0, name=NAME, total_memory=80 << 30, multi_processor_count=132)
    silent = (
        "_lazy_init set_device reset_peak_memory_stats empty_cache synchronize manual_seed manual_seed_all "
        "set_rng_state set_rng_state_all ipc_collect"
    )
    return {
        **dict.fromkeys(silent.split(), nothing),
        **dict.fromkeys(("is_available", "is_initialized", "is_bf16_supported"), lambda *_, **__: True),
        **dict.fromkeys(("current_device", "_exchange_device", "_maybe_exchange_device"), lambda *_: 0),
        **dict.fromkeys(("memory_allocated", "max_memory_allocated", "memory_reserved"), lambda *_: 1 << 28),
        "device_count": lambda: 1,
        "device": lambda *_: contextlib.nullcontext(),
        "get_device_name": lambda *_: NAME,
        "get_device_capability": lambda *_: (9, 0),
        "get_device_properties": lambda *_: known,
        "mem_get_info": lambda *_: (70 << 30, 80 << 30),
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "get_rng_state_all": lambda: [torch.get_rng_state()],
    }
