"""Train the language model of the bundled model.

``jackdaw train lm`` runs it; settings stand in ``tiny.toml``, table ``[lm]``.

Writes ``OUT/checkpoint.safetensors`` (parameters, optimiser, clock) every few minutes and at the end,
``OUT/tiny_lm.safetensors`` (bfloat16, what the model loads) beside it, and one line of JSON a report to
``OUT/log.jsonl``. The learning rate falls to zero at the end of the time given, so a run is as long as it was told to
be; Ctrl-C writes a checkpoint, from which ``--resume`` goes on.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jackdaw.engine.models.tiny_lm import LMConfig, forward, init_params
from jackdaw.engine.training._lm_data import Batch, fixed_batch, load_songs, random_batch
from jackdaw.engine.training._parallel import Workers
from jackdaw.engine.weights.tensors import read_tree, write_tree

__all__ = ["train"]

_REPORT_S, _SAVE_S = 60.0, 180.0
_VALID_SONGS = 12
_CHECKPOINT, _EXPORT = "checkpoint.safetensors", "tiny_lm.safetensors"
Tree = Any


def _optimiser(settings: Mapping[str, Any]) -> optax.GradientTransformation:
    """AdamW at rate 1; the rate of the moment is multiplied in by the caller."""
    return optax.chain(
        optax.clip_by_global_norm(settings["clip"]),
        optax.scale_by_adam(b1=0.9, b2=0.97),
        optax.add_decayed_weights(settings["weight_decay"], mask=lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree)),
    )


def _nats(params: Tree, config: LMConfig, batch: Batch, drop: tuple[jax.Array, float] | None = None) -> jax.Array:
    """Mean negative log likelihood of each level, shape (levels,)."""
    logits = forward(params, config, *batch, drop)
    return jnp.stack([
        optax.softmax_cross_entropy_with_integer_labels(rows, batch.target[..., level]).mean()
        for level, rows in enumerate(logits)
    ])  # fmt: skip


def _start(config: LMConfig, codec: Path) -> Tree:
    """Fresh parameters; embeddings of codes begin as the codec's own vectors, turned at random."""
    params = init_params(config, 0)
    books = read_tree(codec)[0]["codebooks"]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(config.depth_width, config.depth_width)))[0]
    turned = books @ turn[: books.shape[-1]]
    length = np.sqrt((turned**2).sum(axis=-1).mean())
    params["codes"] = jnp.asarray(turned / length * config.depth_width**0.5 * 0.5, jnp.float32)
    return params


def _fitted(config: LMConfig, codec: Path, earlier: Path) -> Tree:
    """Parameters of an earlier model; levels that it has not begin fresh, those that are too many are left out.

    Raises
    ------
    ValueError
        If the earlier model has another width or depth.
    """
    old, about = read_tree(earlier)
    levels = int(about["config"]["levels"])
    same = {name: value for name, value in about["config"].items() if name != "levels"}
    if same != {name: value for name, value in dataclasses.asdict(config).items() if name != "levels"}:
        raise ValueError(f"{earlier} is a model of other sizes, {about['config']}: train without --from")
    fresh = _start(config, codec)
    fitted = {**fresh, **{name: jax.tree.map(jnp.asarray, leaf) for name, leaf in old.items()}}
    for name in ("codes", "refine_in", "refine_out", "heads"):
        fitted[name] = jnp.concatenate([jnp.asarray(old[name])[: config.levels], fresh[name][levels:]])
    # a new level says nothing yet, and the sum over levels is scaled by the root of their number
    fitted["codes"] = fitted["codes"].at[levels:].multiply(0.1)
    fitted["enter"] = {"kernel": jnp.asarray(old["enter"]["kernel"]) * (config.levels / levels) ** 0.5}
    fitted["nothing"] = jnp.asarray(old["nothing"]) * (levels / config.levels) ** 0.5
    wide = min(levels, config.levels) * config.depth_width
    fitted["descend"] = {
        name: fresh["descend"][name].at[..., :wide].set(jnp.asarray(old["descend"][name])[..., :wide])
        for name in ("kernel", "bias")
    }
    return fitted


def train(
    *,
    corpus: Path,
    tokens: Path,
    styles: Path,
    codec: Path,
    out: Path,
    minutes: float,
    resume: bool,
    settings: Mapping[str, Any],
    earlier: Path | None = None,
) -> None:
    """Train for a time, from the start or from an earlier model, or go on where a stopped run was."""
    workers = Workers()
    rows = workers.rows(settings["batch"])
    sizes = {field.name for field in dataclasses.fields(LMConfig)}
    config = LMConfig(**{name: value for name, value in settings.items() if name in sizes})
    songs = load_songs(corpus, tokens, styles)
    training = [song for song in songs if song.split == "train"]
    valid = [song for song in songs if song.split == "valid" and song.frames >= settings["frames"]][:_VALID_SONGS]
    checks = {} if not valid else {"valid": fixed_batch(valid, settings["frames"], steered=True),
              "style only": fixed_batch(valid, settings["frames"], steered=False),
              "heard": fixed_batch(valid, settings["frames"], steered=False, hears=True)}  # fmt: skip
    optimiser = _optimiser(settings)
    weights = jnp.asarray(settings["level_weights"])

    @jax.jit
    @jax.default_matmul_precision(settings["products"])
    def update(params: Tree, state: Tree, rate: float, seed: int, batch: Batch) -> tuple[Tree, Tree, jax.Array]:
        def loss(params: Tree) -> tuple[jax.Array, jax.Array]:
            nats = _nats(params, config, batch, (jax.random.key(seed), settings["dropout"]))
            return (nats * weights).mean(), nats

        gradient, nats = jax.grad(loss, has_aux=True)(params)
        change, state = optimiser.update(gradient, state, params)
        return jax.tree.map(lambda value, move: value - rate * move, params, change), state, nats

    check = jax.jit(lambda params, batch: _nats(params, config, batch))

    out.mkdir(parents=True, exist_ok=True)
    params = _start(config, codec) if earlier is None else _fitted(config, codec, earlier)
    state = optimiser.init(params)
    step, spent = 0, 0.0
    if resume:
        tree, about = read_tree(out / _CHECKPOINT)
        params, step, spent = jax.tree.map(jnp.asarray, tree["params"]), int(about["step"]), float(about["seconds"])
        leaves = [jnp.asarray(tree["optimiser"][str(index)]) for index in range(len(tree["optimiser"]))]
        state = jax.tree.unflatten(jax.tree.structure(state), leaves)
    params, state = workers.shared((params, state))
    about_export = {"config": dataclasses.asdict(config)}

    def save() -> None:
        moments = {str(index): leaf for index, leaf in enumerate(jax.tree.leaves(workers.own(state)))}
        about = {"step": step, "seconds": spent, **about_export}
        write_tree(out / _CHECKPOINT, {"params": workers.own(params), "optimiser": moments}, about)
        write_tree(out / _EXPORT, workers.own(params), about_export, narrow=True)

    hours = sum(song.frames for song in training) / 90000
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    if workers.leads:
        print(f"{len(training)} songs, {hours:.2f} h, {count / 1e6:.2f} M parameters", flush=True)
    stopped = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    budget, last = minutes * 60, time.monotonic()
    reported, saved, steps_then, cpu_then, sums = spent, spent, step, time.process_time(), []
    while True:
        spent, stopping = workers.agreed([spent, float(stopped)])
        if spent >= budget or stopping:
            break
        rng = np.random.default_rng([step, workers.rank])
        batch = workers.divided(random_batch(training, settings, rows, config.codebook, rng))
        rate = settings["learning_rate"] * min(1.0, (step + 1) / settings["warm_up"]) * max(0.0, 1.0 - spent / budget)
        params, state, nats = update(params, state, rate, step, batch)
        sums.append(nats)
        jax.block_until_ready(sums[-2:][0])  # so that the next batch is made while this step computes, and no more
        step, now = step + 1, time.monotonic()
        spent, last = spent + now - last, now
        if workers.leads and (spent - reported >= _REPORT_S or spent >= budget):
            audio = (step - steps_then) * settings["batch"] * settings["frames"] * 0.04
            row = {"step": step, "minutes": round(spent / 60, 2), "left": round((budget - spent) / 60, 1),
                   "passes": round(step * settings["batch"] * settings["frames"] / (hours * 90000), 2),
                   "audio_s_per_cpu_s": round(audio / workers.count / (time.process_time() - cpu_then), 1),
                   "train": [round(float(x), 3) for x in np.mean(workers.own(sums), axis=0)]}  # fmt: skip
            for name, given in checks.items():
                row[name] = [round(float(x), 3) for x in check(workers.own(params), given)]
            print(json.dumps(row), flush=True)
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
            reported, steps_then, cpu_then, sums = spent, step, time.process_time(), []
        if workers.leads and spent - saved >= _SAVE_S:
            save()
            saved = spent
    if not workers.leads:
        return
    save()
    how = "stopped" if stopped else "done"
    print(f"{how} after {spent / 60:.1f} min and {step} steps: {out / _EXPORT}", flush=True)
