"""What hurries training changes nothing else: attention with sums by products, rounded products."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jackdaw.engine.models import tiny_lm
from jackdaw.engine.models.products import product

FRAMES, WINDOW = 40, 25


def parts(*shapes: tuple[int, ...]) -> tuple[jax.Array, ...]:
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)


def attention() -> tuple[Callable[..., jax.Array], Callable[..., jax.Array]]:
    age = np.arange(FRAMES)[:, None] - np.arange(FRAMES)
    mask = jnp.asarray((age >= 0) & (age < WINDOW), jnp.float32)

    def plain(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        score = jnp.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
        weight = jax.nn.softmax(jnp.where(mask > 0, score, -jnp.inf), axis=-1)
        return jnp.einsum("bhqk,bkhd->bqhd", weight, v)

    return plain, lambda q, k, v: tiny_lm._attended(q, k, v, mask)


def test_attention_and_its_gradient_are_those_of_softmax() -> None:
    given = parts(*[(2, FRAMES, 4, 16)] * 3)
    plain, ours = attention()
    assert np.allclose(plain(*given), ours(*given), atol=1e-5)
    (weights,) = parts((2, FRAMES, 4, 16))
    slopes = [jax.grad(lambda *x, how=how: (how(*x) * weights).sum(), (0, 1, 2))(*given) for how in (plain, ours)]
    for one, other in zip(*slopes, strict=True):
        assert np.allclose(one, other, atol=1e-5)


def test_one_score_far_above_the_others_takes_all() -> None:
    q, k, v = parts(*[(1, FRAMES, 1, 16)] * 3)
    k = k.at[:, 3].set(1e4 * q[:, 5])
    plain, ours = attention()
    assert np.isfinite(ours(q, k, v)).all()
    assert np.allclose(ours(q, k, v)[0, 5], plain(q, k, v)[0, 5], atol=1e-5)


def test_scores_that_are_all_very_low_are_weighed_against_each_other() -> None:
    q, k, v = parts(*[(1, FRAMES, 2, 16)] * 3)
    plain, ours = attention()
    far = jnp.zeros(16).at[0].set(30.0)  # adds -225 to every score of a row
    slopes = [
        jax.grad(lambda *x, how=how: jnp.square(how(*x)).sum(), (1, 2))(q + far, k - far, v) for how in (plain, ours)
    ]
    assert np.allclose(plain(q + far, k - far, v), ours(q + far, k - far, v), atol=1e-3)
    for one, other in zip(*slopes, strict=True):
        assert np.allclose(one, other, atol=0.05)


def test_products_round_both_factors_where_they_are_asked_to() -> None:
    x, weights, beside = parts((3, 5, 32), (32, 24), (3, 5, 24))

    def rounded(x: jax.Array) -> np.ndarray:
        return np.asarray(x.astype(jnp.bfloat16), np.float64)

    assert np.allclose(product(x, weights), np.asarray(x, np.float64) @ np.asarray(weights, np.float64), atol=1e-5)
    with jax.default_matmul_precision("bfloat16"):
        made, back = jax.vjp(product, x, weights)
        to_x, to_weights = back(beside)
    assert {array.dtype for array in (made, to_x, to_weights)} == {jnp.dtype("float32")}
    assert np.allclose(made, rounded(x) @ rounded(weights), atol=1e-4)
    assert np.allclose(to_x, rounded(beside) @ rounded(weights).T, atol=1e-4)
    assert np.allclose(to_weights, np.einsum("bfi,bfo->io", rounded(x), rounded(beside)), atol=1e-4)
