"""What a run costs: padding, memory, and scores that take longer than training."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from workbench.catalog import loss_facts, models
from workbench.catalog.memory import FLOAT32_BYTES, activations, gigabytes, training_memory
from workbench.catalog.weights import read_json
from workbench.checks.case import Case, percent
from workbench.checks.codes import finds
from workbench.checks.finding import Finding
from workbench.data import ids
from workbench.errors import ModelError, RecipeError
from workbench.recipe import Loss, Recipe
from workbench.spaces.packed import may_pack, reads_tokens
from workbench.spaces.tokens_once import LEAST_ROWS, MOST_TEXTS, MOST_TOKENS
from workbench.steps import steps_of

MUCH = 0.4
WIDER = 2.0
RARELY = 0.99
ROOM = 0.9
FAR_TOO_MUCH = 1.5  # the estimate can be off by 30 %
PASSES = 3  # a step goes forward once and back at twice the cost, a score only forward
WORTH_SAYING = 1_000_000  # tokens, a minute or so on a laptop
MOST_SCORED = 20_000
ANSWER_S = 5.0
GROUPS = 4  # as many as spaces/lean makes at most
# Losses that train a second copy of the model, or a decoder, and the column that the model itself sees
COPIED = {"ContrastiveTensionLoss": -1, "ContrastiveTensionLossInBatchNegatives": 0}
SEEN = {**COPIED, "DenoisingAutoEncoderLoss": 0}
LOGITS = 3  # a decoder's scores of all words: themselves, their softmax, their gradient
TEXT_BYTES = 200  # of a text whose tokens are remembered, beside them
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Padding:
    """Tokens that are computed in an epoch of random batches, where each text is padded to the longest beside it.

    Attributes:
        tokens: those of the texts themselves.
        padded: with padding.
        apart: with padding, if every column were padded on its own.
        widest: column -> tokens of the widest batch.
    """

    tokens: int
    padded: int
    apart: int
    widest: tuple[int, ...]

    @property
    def waste(self) -> float:
        """Share of what is computed that is padding."""
        return 1 - self.tokens / max(1, self.padded)


def padding(tokens: np.ndarray, batch: int, seed: int, *, merged: bool) -> Padding:
    """What random batches are padded to.

    Args:
        tokens: of each text after it was cut, int64, shape (rows, columns).
        batch: rows of a batch.
        seed: of the order of the rows.
        merged: all columns but the first are padded together.
    """
    shuffled = tokens[np.random.default_rng(seed).permutation(len(tokens))]
    starts = np.arange(0, len(tokens), batch)
    rows = np.diff(np.append(starts, len(tokens)))
    widths = np.maximum.reduceat(shuffled, starts, axis=0)  # (batches, columns)
    apart = int((widths * rows[:, None]).sum())
    together = widths.copy()
    if merged and widths.shape[1] > 2:
        together[:, 1:] = widths[:, 1:].max(axis=1, keepdims=True)
    return Padding(int(tokens.sum()), int((together * rows[:, None]).sum()), apart, tuple(map(int, together.max(axis=0))))  # fmt: skip


def padding_of(case: Case, limit: int | None = None) -> Padding:
    """The padding of a case, at its own limit or a lower one."""
    cut = _cut(case, case.texts.tokens, limit)
    return padding(cut, case.recipe.batch_size, case.recipe.seed, merged=_merges(case))


def fullest_batch(
    tokens: np.ndarray, batch: int, seed: int, *, merged: bool, groups: int, even: float
) -> list[tuple[int, int]]:
    """(rows, width) of the passes of that random batch which keeps most in memory.

    Args:
        tokens: of each text after it was cut, int64, shape (rows, columns).
        batch: rows of a batch.
        seed: of the order of the rows.
        merged: all columns but the first are padded together.
        groups: parts of like length that each column goes through the model in; rows are shared out evenly among them,
            so that the best cut keeps no more.
        even: width at which attention keeps as much as all else in a layer.
    """
    rows = min(batch, len(tokens))
    shuffled = tokens[np.random.default_rng(seed).permutation(len(tokens))][: len(tokens) // rows * rows]
    longest_first = -np.sort(-shuffled.reshape(-1, rows, tokens.shape[1]), axis=1)
    starts = np.unique(np.linspace(0, rows, groups + 1).astype(int)[:-1])
    sizes = np.diff(np.append(starts, rows))[:, None]
    widths = np.maximum(1, longest_first[:, starts])  # (batches, groups, columns)
    if merged and groups == 1 and tokens.shape[1] > 1:
        widths[:, :, 1:] = widths[:, :, 1:].max(axis=2, keepdims=True)
    fullest = widths[(sizes * widths * (even + widths)).sum(axis=(1, 2)).argmax()]
    return [(int(size), int(width)) for size, line in zip(sizes[:, 0], fullest, strict=True) for width in line]


def _merges(case: Case) -> bool:
    """The library runs the columns after the first as one."""
    plain = not case.info.cached and not case.info.custom and case.loss.name != "MSELoss"
    return plain and case.recipe.loss.name not in loss_facts.NO_CACHED_INSIDE


@finds(
    "much-padding", "note", when="over 40% of what is computed in random batches is padding, where they are not split by length",
    why="Every text of a batch is padded to the longest one, and padding takes as long as text; it costs time, not quality.",
    fix="turns `split_by_length` on, or on a GPU lowers `max_seq_length` to what 99% of the texts need, where that is enough",
)  # fmt: skip
@finds(
    "columns-of-unequal-width", "note", when="of the columns after the first, which run as one, one is over twice as wide as another, and batches are not split by length",
    why="The library pads them to one width: with two widths a step took 1.7 times as long when we measured it.",
)  # fmt: skip
def padding_is_little(case: Case) -> Iterator[Finding]:
    """Texts of a batch are about as long as one another."""
    on_cpu = case.recipe.device == "cpu" or (case.recipe.device == "auto" and not has_gpu())
    if case.static or case.recipe.batch_size < 2 or _grouped(case.recipe):
        return
    now = padding_of(case)
    measured = f"one shuffle of all {case.rows:,} training rows of {case.name} in batches of {case.recipe.batch_size}, seed {case.recipe.seed}"
    means = case.texts.tokens[:, 1:].mean(axis=0)
    if _merges(case) and len(means) > 1 and means.max() > WIDER * means.min() > 0:
        yield case.finding(
            "columns-of-unequal-width",
            "note",
            f"The columns after the first have {means.min():.0f} to {means.max():.0f} tokens on average and are padded to one width, so an epoch computes {percent(now.padded / now.apart - 1)} more than it would with each on its own.",
            evidence={"narrowest": float(means.min()), "widest": float(means.max()), "more_computed": now.padded / now.apart - 1, "measured_on": measured},
        )  # fmt: skip
    if now.waste <= MUCH:
        return
    enough = int(np.quantile(case.texts.tokens, RARELY, method="higher"))
    lower = enough if enough < (case.limit or 0) and padding_of(case, enough).waste <= MUCH else None
    fixed = ""
    changes: dict[str, Any] = {}
    if on_cpu:
        fixed, changes = "turn split_by_length on, which computes the same with less padding", {"split_by_length": True}
    elif lower:
        fixed, changes = f"set max_seq_length to {lower}, which cuts at most 1% of the texts", {"max_seq_length": lower}
    yield case.finding(
        "much-padding",
        "note",
        f"{percent(now.waste)} of what random batches of {case.recipe.batch_size} compute is padding, as short texts wait for long ones.",
        evidence={"share_of_padding": now.waste, "tokens": now.tokens, "padded_tokens": now.padded, "measured_on": measured},
        fixed=fixed,
        **changes,
    )  # fmt: skip


@finds(
    "not-enough-memory", "error", "warning", when="a run is estimated to need over 90% of the memory that is free, limits of a container included; an error from 150% on a CPU, or where the loss reads tokens",
    why="Where memory ends a system kills the run without a word, and on some machines the notebook with it; a GPU says so, and the batch goes on in parts, more slowly, unless a loss of one's own reads tokens. The estimate can be off by 30%.",
    fix="takes a cached loss, a smaller batch, or gradient checkpointing: the first that is enough",
)  # fmt: skip
def memory_is_enough(case: Case) -> Iterator[Finding]:
    """The run fits into memory."""
    on_gpu = case.recipe.device == "cuda" or (case.recipe.device == "auto" and has_gpu())
    free = free_gpu_memory() if on_gpu else free_memory() if case.recipe.device != "mps" else None
    need = memory_of(case, case.recipe)
    if free is None or need <= ROOM * free:
        return
    fixed, changes = _smaller(case, free)
    widest = max(padding_of(case).widest)
    way = f"in batches of {case.recipe.batch_size} with texts of up to {widest} tokens"
    if case.recipe.method == "adapter":
        way = "on kept vectors of all texts"
    sizes_known, whole = case.model.architecture is not None, reads_tokens(case.recipe.loss)
    yield case.finding(
        "not-enough-memory",
        "error" if need > FAR_TOO_MUCH * free and (whole or not on_gpu) else "warning",
        f"Training {way} needs {'about' if sizes_known else 'at least'} {gigabytes(need)} of memory, and {gigabytes(free)} are free{' on the GPU' if on_gpu else ''}{'; a batch cannot be taken in parts, since the loss reads tokens' if whole else ''}.",
        evidence={"needed_bytes": need, "free_bytes": free, "batch_size": case.recipe.batch_size, "widest_batch_tokens": widest, "measured_on": f"this machine, and all {case.rows:,} training rows of {case.name}"},
        fixed=fixed,
        **changes,
    )  # fmt: skip


def memory_of(case: Case, recipe: Recipe) -> int:
    """Bytes that a recipe with this case's table and model is estimated to need."""
    rows, tokens = recipe.batch_size, _cut(case, case.texts.tokens)
    if recipe.loss.innermost.name.startswith("Cached"):
        rows = min(rows, recipe.loss.innermost.parameters.get("mini_batch_size") or 32)
    sizes = case.model.architecture
    grouped = _grouped(recipe) and not case.static and not _padded_left(case)
    passes = fullest_batch(
        tokens[:, [seen]] if (seen := SEEN.get(recipe.loss.innermost.name)) is not None else tokens, rows, recipe.seed, merged=_merges(case),
        groups=GROUPS if grouped else 1,
        even=(18 * sizes.hidden_size + 4 * sizes.intermediate_size) / (5 * sizes.heads) if sizes and sizes.layers else 0.0,
    )  # fmt: skip
    lora = recipe.lora.r if recipe.lora else None
    needed = training_memory(
        case.model, batch_size=passes[0][0], texts=len(passes), tokens=[width for _, width in passes],
        groups=passes if grouped else (), gradient_checkpointing=recipe.gradient_checkpointing, lora_rank=lora,
    )  # fmt: skip
    if recipe.method == "adapter":  # nothing is kept of a pass but its vectors, which the table holds
        table = FLOAT32_BYTES * tokens.size * (case.model.dimension or 0)
        return needed.library_bytes + (needed.weights_bytes or 0) + table
    trained = (needed.optimizer_bytes or 0) // (3 if recipe.optimizer == "sgd" else 1)
    whole = (needed.weights_bytes or 0) + trained
    own = needed.library_bytes + whole + (needed.activations_bytes or 0)
    return own + _second(case, recipe, whole) + _guide(recipe.loss.innermost) + _remembered(case, recipe)


def _second(case: Case, recipe: Recipe, whole: int) -> int:
    """What a copy of the model or a decoder takes that is trained beside it; `whole` is what weights take in training.

    Its batches go through whole, and it is not set to training, so that it drops nothing out.
    """
    loss, sizes, tokens = recipe.loss.innermost, case.model.architecture, _cut(case, case.texts.tokens)
    if loss.name not in SEEN:
        return 0
    decodes = loss.name not in COPIED
    rows, widest = min(recipe.batch_size, case.rows), int(tokens[:, -1 if decodes else 0].max(initial=1))
    kept = activations(sizes, batch_size=rows, texts=1, tokens=widest, dropout=False) if sizes else 0
    if not decodes:
        return whole + kept
    words = LOGITS * FLOAT32_BYTES * rows * widest * (case.texts.vocabulary or 0)
    return kept + words + (0 if loss.parameters.get("tie_encoder_decoder", True) else whole)


def _guide(loss: Loss) -> int:
    """The weights of a guide; what it computes with is let go before the backward pass, which takes more."""
    try:
        return FLOAT32_BYTES * (models.describe(loss.parameters["guide"]).parameters or 0)
    except (KeyError, ModelError):  # there is none, or another check says that it is not here
        return 0


def _remembered(case: Case, recipe: Recipe) -> int:
    """Tokens that a run remembers of the texts it meets; those that statistics have left on disk stay there."""
    trained = case.steps * recipe.batch_size * recipe.gradient_accumulation_steps / case.rows
    tables = [(case.train, case.texts, min(1.0, trained))]
    if case.evaluation is not None:
        tables.append((case.evaluation, case.evaluation_texts, min(1.0, MOST_SCORED / len(case.evaluation))))
    tokens = texts = 0.0
    for table, read, share in tables:
        if len(table) < LEAST_ROWS or any(ids.kept(table, name, case.base) is None for name in table.texts):
            tokens += share * int(_cut(case, read.tokens_of).sum())
            texts += share * len(read.tokens_of)
    return round(FLOAT32_BYTES * min(tokens, MOST_TOKENS) + TEXT_BYTES * min(texts, MOST_TEXTS))


def _padded_left(case: Case) -> bool:
    """As decoders are, whose batches go through the model whole."""
    places = [case.model.path, case.model.path / "0_Transformer"] if case.model.path else []
    found = [read_json(place / "tokenizer_config.json") for place in places]
    return any(isinstance(settings, dict) and settings.get("padding_side") == "left" for settings in found)


def _grouped(recipe: Recipe) -> bool:
    """Whether hardly any padding is computed: in groups of like length on a CPU, without any on a GPU with flash-attn."""
    on_cpu = recipe.device == "cpu" or (recipe.device == "auto" and not has_gpu())
    packed = recipe.device != "mps" and find_spec("flash_attn") is not None and may_pack(recipe)
    return recipe.split_by_length and (on_cpu or packed) and not reads_tokens(recipe.loss)


def _smaller(case: Case, free: int) -> tuple[str, dict[str, Any]]:
    """The first change that makes a run fit, in words and settings; neither where none does."""
    recipe = case.recipe
    tries: list[tuple[str, dict[str, Any]]] = []
    if recipe.method == "adapter":
        return "", {}  # whatever its batches are, it is the model that takes the room
    cached = f"Cached{case.loss.name}"
    if case.info.in_batch_negatives and not case.static and cached in loss_facts.CAVEATS:
        for size in (32, 16, 8):
            try:
                loss = case.with_loss(cached, **{**case.loss.parameters, "mini_batch_size": size})
            except RecipeError:
                break  # a wrapper that takes no cached loss
            tries.append((f"take {cached} with mini_batch_size {size}", {"loss": loss}))
    size = recipe.batch_size // 2
    while size >= 2 and not case.info.in_batch_negatives:
        steps = recipe.gradient_accumulation_steps * (recipe.batch_size // size)
        words = f"set batch_size to {size} and gradient_accumulation_steps to {steps}"
        tries.append((words, {"batch_size": size, "gradient_accumulation_steps": steps}))
        size //= 2
    tries.append(("turn gradient_checkpointing on", {"gradient_checkpointing": True}))
    for half in (2, 4, 8):
        if recipe.batch_size >= 4 * half:
            tries.append((f"set batch_size to {recipe.batch_size // half}", {"batch_size": recipe.batch_size // half}))
    enough = ((words, changes) for words, changes in tries if memory_of(case, recipe.changed(**changes)) <= ROOM * free)
    return next(enough, ("", {}))


def has_gpu() -> bool:
    """Whether a driver for NVIDIA GPUs runs here, or this is a Mac with one of its own: `auto` then takes the GPU."""
    import platform

    return Path("/proc/driver/nvidia/version").exists() or (platform.system(), platform.machine()) == ("Darwin", "arm64")  # fmt: skip


def free_gpu_memory() -> int | None:
    """Bytes that are free on the first NVIDIA GPU; None where its driver does not say."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    ask = [tool, "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, timeout=ANSWER_S, check=True).stdout
        return int(said.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def free_memory() -> int:
    """Bytes that a new process may take: what the system has, or what the container's limit leaves, if that is less."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for folder, limit, used, cache in (
        (CGROUP, "memory.max", "memory.current", "inactive_file"),
        (CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, now = int((folder / limit).read_text()), int((folder / used).read_text())
            kept = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue  # no such limit: "max" is no number
        free = min(free, max(0, most - now + int(kept.get(cache, 0))))
    return free


@finds(
    "scores-cost-more", "note", when="taking the scores computes more than all training steps, from a million tokens on",
    why="Scores are taken before, after and every `eval_steps`, each time on all evaluation rows; a few hundred rows tell nearly as much.",
    fix="raises `eval_steps` to half of the run, where that is enough",
)  # fmt: skip
def scores_are_cheap(case: Case) -> Iterator[Finding]:
    """Scores take less computing than training."""
    if case.evaluation is None:
        return
    share = min(1.0, MOST_SCORED / len(case.evaluation))
    once = int(_cut(case, case.evaluation_texts.tokens_of[case.evaluation_texts.which]).sum() * share)
    seen = case.steps * case.recipe.batch_size * case.recipe.gradient_accumulation_steps
    trained = PASSES * int(_cut(case, case.texts.tokens).sum() / case.rows * seen)
    times = _times(case, case.recipe)
    if once * times <= trained or once * times < WORTH_SAYING:
        return
    better = case.recipe.changed(eval_steps=0.5)
    changes = {"eval_steps": 0.5} if once * _times(case, better) <= trained else {}
    yield case.finding(
        "scores-cost-more",
        "note",
        f"Scores are taken {times} times on {min(len(case.evaluation), MOST_SCORED):,} rows, which computes {once * times / trained:.1f} times as much as the {case.steps:,} training steps.",
        evidence={"tokens_scored": once * times, "tokens_trained": trained // PASSES, "times": times, "evaluation_rows": len(case.evaluation)},
        fixed="set eval_steps to 0.5 of all steps" if changes else "",
        **changes,
    )  # fmt: skip


def _cut(case: Case, tokens: np.ndarray, limit: int | None = None) -> np.ndarray:
    """Tokens of texts as the model reads them, at its own limit or a lower one."""
    limit = limit or case.limit
    return tokens if limit is None else np.minimum(tokens, limit)


def _times(case: Case, recipe: Recipe) -> int:
    """How often scores are taken: before, after, and on the way except at the last step."""
    return 2 + (case.steps - 1) // steps_of(recipe.eval_steps, case.steps)
