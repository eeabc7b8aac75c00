"""Calls of our own from compiled steps: products of bfloat16 weights, attention over a ring, the search for codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jackdaw.engine.models.products import Dense, halved, on_processor, product
from jackdaw.engine.models.tiny_codec import nearest, quantise, searchable
from jackdaw.engine.models.tiny_lm_stream import _attended


def weights(inputs: int, outputs: int, seed: int = 0) -> jax.Array:
    values = np.random.default_rng(seed).standard_normal((inputs, outputs))
    return jnp.asarray(values, jnp.bfloat16)


@pytest.mark.parametrize("rows", [(), (1,), (2,), (3,), (4,), (5,), (2, 3), (37,)])
@pytest.mark.parametrize(("inputs", "outputs"), [(256, 1024), (8, 8), (13, 5), (7, 1), (1, 33)])
def test_a_product_is_that_of_the_widened_weights(rows: tuple[int, ...], inputs: int, outputs: int) -> None:
    w = weights(inputs, outputs)
    x = np.random.default_rng(1).standard_normal((*rows, inputs)).astype(np.float32)
    made = np.asarray(jax.jit(product)(jnp.asarray(x), w))
    exact = x.astype(np.float64) @ np.asarray(w, np.float64)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, exact, atol=1e-5 * inputs**0.5 * 4)


def test_a_row_is_the_same_to_the_bit_whatever_is_beside_it() -> None:
    w = weights(384, 1031)
    x = jnp.asarray(np.random.default_rng(2).standard_normal((11, 384)), jnp.float32)
    together = np.asarray(jax.jit(product)(x, w))
    for first, last in ((0, 1), (3, 5), (4, 7), (1, 5), (2, 11)):
        assert np.array_equal(np.asarray(jax.jit(product)(x[first:last], w)), together[first:last])


def test_weights_of_other_sizes_are_refused() -> None:
    with pytest.raises((ValueError, TypeError, jax.errors.JaxRuntimeError)):
        jax.block_until_ready(jax.jit(product)(jnp.ones((2, 5)), weights(4, 3)))


def test_a_layer_with_halved_weights_is_the_layer() -> None:
    layer = Dense(40)
    x = jnp.asarray(np.random.default_rng(3).standard_normal((2, 24)), jnp.float32)
    params = layer.init(jax.random.key(0), x)
    rounded = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16).astype(jnp.float32), params)
    half = halved(params)
    assert half["params"]["kernel"].dtype == jnp.bfloat16
    assert half["params"]["bias"].dtype == jnp.float32
    np.testing.assert_allclose(jax.jit(layer.apply)(half, x), layer.apply(rounded, x), atol=1e-5)


@pytest.mark.parametrize(("heads", "window", "size"), [(8, 200, 32), (2, 10, 16), (1, 3, 5), (3, 1, 9)])
def test_a_query_finds_in_a_ring_what_the_plain_formula_does(heads: int, window: int, size: int) -> None:
    rng = np.random.default_rng(6)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(3 * rng.standard_normal(shape), jnp.float32)

    made = tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((heads, size), *[(heads, window, size)] * 2))
    ours = jax.jit(lambda *given: on_processor("jd_attention", made, given, _attended))
    rings = draw(heads, window, size), draw(heads, window, size)
    for frame in (0, 1, window - 1, window, 3 * window + 2):
        given = draw(heads, size), draw(heads, size), draw(heads, size), *rings, jnp.int32(frame)
        before = [np.array(array) for array in given]
        found, plain = ours(*given), _attended(*given)
        np.testing.assert_allclose(found[0], plain[0], atol=2e-5)
        for array, other in zip(found[1:], plain[1:], strict=True):
            np.testing.assert_array_equal(array, other)
        for array, other in zip(given, before, strict=True):
            np.testing.assert_array_equal(array, other)  # a ring is a value
        for array, other in zip(ours(*given), found, strict=True):
            np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize(
    ("levels", "codes", "size", "rows"), [(8, 1024, 158, 2), (24, 1024, 160, 1), (1, 4, 3, 1), (5, 17, 9, 40)]
)
def test_the_search_finds_what_the_plain_one_does(levels: int, codes: int, size: int, rows: int) -> None:
    rng = np.random.default_rng(4)
    scale = 0.7 ** np.arange(levels)[:, None, None]
    books = jnp.asarray(scale * rng.standard_normal((levels, codes, size)), jnp.bfloat16).astype(jnp.float32)
    latents = jnp.asarray(rng.standard_normal((rows, size)), jnp.float32)
    found = np.asarray(jax.jit(nearest)(searchable(books), latents))
    plain = np.asarray(quantise(books, latents))

    def left(chosen: np.ndarray) -> np.ndarray:
        told = sum(np.asarray(books)[level][chosen[:, level]] for level in range(levels))
        return np.sum((np.asarray(latents) - told) ** 2, axis=1)

    assert found.shape == (rows, levels)
    # the two add up in different orders: where sums are equally near, either may be found
    assert np.mean(np.all(found == plain, axis=1)) >= 0.95
    np.testing.assert_allclose(left(found), left(plain), rtol=1e-2)


def test_one_path_would_find_less() -> None:
    rng = np.random.default_rng(5)
    scale = 0.7 ** np.arange(6)[:, None, None]
    books = jnp.asarray(scale * rng.standard_normal((6, 64, 12)), jnp.bfloat16).astype(jnp.float32)
    latents = jnp.asarray(rng.standard_normal((200, 12)), jnp.float32)

    def error(chosen: jax.Array) -> float:
        told = sum(books[level][chosen[:, level]] for level in range(6))
        return float(jnp.mean(jnp.square(latents - told)))

    assert error(jax.jit(nearest)(searchable(books), latents)) < 0.97 * error(quantise(books, latents, paths=1))
