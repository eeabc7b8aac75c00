"""Names and shapes of the arrays in the checkpoints of Magenta RealTime 2, as `magenta-rt` 2.0.3 writes them.

A name is the path in the tree, joined by ``/``. All arrays are float32. A checkpoint holds the depthformer and the
codec's decoder and codebooks; the codec's encoder has a file of its own.
"""

from collections.abc import Iterator
from math import prod

from jackdaw.engine.models.mrt2_config import MRT2Config, StackConfig

__all__ = ["Shapes", "checkpoint_shapes", "decoder_shapes", "depthformer_shapes", "encoder_shapes", "quantizer_shapes"]

Shapes = dict[str, tuple[int, ...]]
"""Array shapes by name."""

_Named = tuple[str, tuple[int, ...]]

_RATIOS = ((1, 2), (1, 2), (1, 3), (1, 2), (1, 2), (2, 2), (2, 1))
"""By how much each unit of the codec's encoder shortens time and frequency; its decoder goes the other way."""

_WIDENED = (2, 1, 2, 1, 1, 2, 1)
"""By how much each unit of the codec's encoder widens its channels."""

_BINS = 480
_JOINT = 6  # the unit from which on the encoder sees both sides at once
_PARTS = 2  # real and imaginary


def _attention(path: str, width: int, source: int, stack: StackConfig, sinks: int) -> Iterator[_Named]:
    heads = (stack.heads, stack.head_size)
    yield f"{path}/pre_norm/scale", (width,)
    yield f"{path}/post_norm/scale", (width,)
    yield f"{path}/attention/query_projection/kernel", (width, *heads)
    yield f"{path}/attention/key_projection/kernel", (source, *heads)
    yield f"{path}/attention/value_projection/kernel", (source, *heads)
    yield f"{path}/attention/per_dim_scale", (stack.head_size,)
    if sinks:
        yield f"{path}/attention/sink_key_embeddings", (sinks, *heads)
        yield f"{path}/attention/sink_value_embeddings", (sinks, *heads)
    yield f"{path}/output_projection/kernel", (width, *heads)


def _stack(path: str, stack: StackConfig, condition: int | None) -> Iterator[_Named]:
    """Yield the blocks of a stack; `condition` is the width of what it attends to beside itself, with sinks."""
    width, hidden = stack.width, stack.hidden
    for layer in range(stack.layers):
        block = f"{path}/x_layers_{layer}"
        yield from _attention(f"{block}/self_attention", width, width, stack, int(condition is not None))
        if condition is not None:
            yield from _attention(f"{block}/cross_attention", width, condition, stack, 1)
        yield f"{block}/ffn/pre_norm/scale", (width,)
        yield f"{block}/ffn/post_norm/scale", (width,)
        yield f"{block}/ffn/ffn_layer1/kernel", (width, hidden)
        yield f"{block}/ffn/ffn_layer1/bias", (hidden,)
        yield f"{block}/ffn/ffn_layer2/kernel", (hidden, width)
        yield f"{block}/ffn/ffn_layer2/bias", (width,)


def depthformer_shapes(config: MRT2Config) -> Shapes:
    """Return the shapes of ``params/depthformer``, the language model."""
    source, width, depth = config.condition_width, config.temporal.width, config.depth.width
    encoder, decoder = "params/depthformer/encoder/body", "params/depthformer/decoder"
    style = f"{encoder}/layers_1/branched_mulan_embedder/mulan_embedder"
    return {
        f"{style}/mulan_dequantizer/embedding": (config.style_levels * config.style_rows, config.style_width),
        f"{style}/depth_input_adapter/kernel": (config.style_width, source),
        f"{encoder}/layers_1/branched_regular_embedder/regular_embedder/embedding": (config.channel_table, source),
        f"{encoder}/encoder_ln/scale": (source,),
        f"{encoder}/encoder_ln/bias": (source,),
        f"{decoder}/decoder_embedding/embedding/embedding": (config.vocabulary, width),
        **dict(_stack(f"{decoder}/temporal_body/transformer", config.temporal, source)),
        f"{decoder}/depth_body/depth_input_adapter/kernel": (width, depth),
        **dict(_stack(f"{decoder}/depth_body/transformer", config.depth, None)),
        f"{decoder}/depth_body/final_ln/scale": (depth,),
        f"{decoder}/depth_body/final_ln/bias": (depth,),
        f"{decoder}/depth_body/to_logits/kernel": (depth, config.vocabulary),
        f"{decoder}/depth_body/to_logits/bias": (config.vocabulary,),
    }


def _conv(path: str, height: int, width: int, taken: int, made: int) -> Iterator[_Named]:
    yield f"{path}/conv/kernel", (height, width, taken, made)
    yield f"{path}/conv/bias", (made,)


def _reach(ratio: tuple[int, int]) -> tuple[int, int]:
    return max(3, 2 * ratio[0]), max(3, 2 * ratio[1])


def encoder_shapes(width: int = 32, features: int = 256) -> Shapes:
    """Return the shapes of the codec's encoder, ``params/encoder``.

    Parameters
    ----------
    width
        Channels of its first layer.
    features
        Of an embedding.
    """
    root, bins, taken = "params/encoder", _BINS, width
    shapes = dict(_conv(f"{root}/base_conv_first", 7, 7, _PARTS, width))
    for unit, (ratio, wider) in enumerate(zip(_RATIOS, _WIDENED, strict=True)):
        made, bins = taken * wider, bins // ratio[1]
        taken *= 2 if unit == _JOINT else 1
        path, (height, across) = f"{root}/encoder_{unit}", _reach(ratio)
        shapes |= dict(_conv(f"{path}/conv2d_3x3", 3, 3, taken, taken))
        shapes |= dict(_conv(f"{path}/conv2d_{height}x{across}_a", height, across, taken, made))
        if taken != made:
            shapes |= dict(_conv(f"{path}/shortcut_layer/conv1x1", 1, 1, taken, made))
        taken = made
    for name in ("conv2d_3x3_a", "conv2d_3x3"):
        shapes |= dict(_conv(f"{root}/bottleneck/{name}", 3, 3, taken, taken))
    flat, last = bins * taken, f"{root}/output_convs"
    shapes |= dict(_conv(f"{last}/conv1x1_last", 1, 1, flat, features))
    shapes |= dict(_conv(f"{last}/shortcut_layer/conv1x1_b1", 1, 1, flat, flat))
    return shapes | dict(_conv(f"{last}/shortcut_layer/conv1x1_b2", 1, 1, flat, features))


def decoder_shapes(width: int = 64, features: int = 256, root: str = "params/soundstream/decoder") -> Shapes:
    """Return the shapes of the codec's decoder.

    Parameters
    ----------
    width
        Channels of its last layer.
    features
        Of an embedding.
    root
        ``params/soundstream/decoder`` in a checkpoint, ``params/decoder`` in the codec's own file.
    """
    taken = width * prod(_WIDENED)
    flat = taken * (_BINS // prod(across for _, across in _RATIOS))
    first = f"{root}/input_layer"
    shapes = dict(_conv(f"{first}/conv1x1_first", 1, 1, features, flat))
    shapes |= dict(_conv(f"{first}/shortcut_layer/conv1x1_b1", 1, 1, features, flat))
    shapes |= dict(_conv(f"{first}/shortcut_layer/conv1x1_b2", 1, 1, flat, flat))
    for name in ("conv2d_3x3_a", "conv2d_3x3"):
        shapes |= dict(_conv(f"{root}/input_layers_residual_unit/{name}", 3, 3, taken, taken))
    for unit, (ratio, wider) in enumerate(zip(_RATIOS[::-1], _WIDENED[::-1], strict=True)):
        sides = 2 if unit == 0 else 1  # the first makes both, side by side
        made = taken // wider * sides
        path, (height, across) = f"{root}/decoder_{unit}", _reach(ratio)
        shapes |= dict(_conv(f"{path}/conv2dtranspose_{height}x{across}", height, across, taken, made))
        shapes |= dict(_conv(f"{path}/conv2d_3x3", 3, 3, made, made))
        if taken != made:
            shapes |= dict(_conv(f"{path}/shortcut_layer/conv1x1", 1, 1, taken, made))
        taken = made // sides
    return shapes | dict(_conv(f"{root}/output_layer/base_conv_last", 7, 7, width, _PARTS))


def quantizer_shapes(
    levels: int = 64, codebook: int = 1024, features: int = 256, root: str = "params/soundstream/quantizer"
) -> Shapes:
    """Return the shape of the codec's codebooks."""
    return {f"{root}/embedding": (levels, codebook, features)}


def checkpoint_shapes(config: MRT2Config) -> Shapes:
    """Return the shapes of a whole checkpoint."""
    return depthformer_shapes(config) | decoder_shapes() | quantizer_shapes(codebook=config.codebook)
