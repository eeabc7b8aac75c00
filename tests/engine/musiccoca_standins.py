"""Stand-ins for the files of MusicCoCa, which cannot be had without a network: official names, signatures and shapes.

What they compute is noise with a shape: one matrix or two each. So they show that the right numbers reach the right
inputs, and nothing about styles.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import sentencepiece
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

SIZE, LENGTH, CLIP, FRAMES, BINS, LEVELS, CODES = 768, 128, 160000, 100, 32, 12, 64
WORDS = ("slow blues in the night", "disco funk with strings", "acid house", "bossa nova", "solo piano", "jazz trio")
PROMPTS = ("Slow Blues", "disco", "a very long story about jazz " * 12)
"""The last is longer than the 128 ids that count."""

_TYPES = {"float32": schema.TensorType.FLOAT32, "int32": schema.TensorType.INT32}
_OPERATOR = schema.BuiltinOperator


class _Writer:
    """Collects the tensors and operators of one graph."""

    def __init__(self) -> None:
        self.buffers, self.tensors, self.operators, self.codes = [schema.BufferT()], [], [], []

    def tensor(self, name: str, shape: Sequence[int], kind: str = "float32", data: NDArray[Any] | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), _TYPES[kind], 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, kind).tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, data: NDArray[Any]) -> int:
        return self.tensor(f"constant_{len(self.tensors)}", data.shape, str(data.dtype), data)

    def add(self, name: str, inputs: list[int], shape: Sequence[int], kind: str = "float32", **options: Any) -> int:
        """Append an operator; `options` are those of its table in the schema."""
        made = self.tensor(f"made_{len(self.tensors)}", shape, kind)
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(_OPERATOR, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.codes), inputs, [made]
        table = "".join(part.capitalize() for part in name.split("_"))
        table = {"ArgMax": "ArgMax", "Mean": "Reducer", "L2Normalization": "L2Norm"}.get(table, table) + "Options"
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
        operator.builtinOptions = getattr(schema, table + "T")()
        for key, value in options.items():
            setattr(operator.builtinOptions, key, value)
        self.codes.append(code)
        self.operators.append(operator)
        return made

    def save(self, path: Path, inputs: list[int], outputs: list[int]) -> None:
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self.tensors, self.operators, inputs, outputs
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], self.buffers, self.codes
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(builder.Output())


def _matrix(seed: int, made: int, taken: int) -> NDArray[np.float32]:
    drawn = np.random.Generator(np.random.PCG64(seed)).standard_normal((made, taken), np.float32)
    return drawn / np.float32(np.sqrt(taken))


TEXT, MAPPER, FEATURES, MUSIC, TOKENS = (
    _matrix(seed, made, taken)
    for seed, (made, taken) in enumerate(
        [(SIZE, LENGTH), (SIZE, SIZE), (BINS, CLIP // FRAMES), (SIZE, BINS), (CODES, SIZE // LEVELS)]
    )
)


def _text(path: Path) -> None:
    graph = _Writer()  # paddings come first here, so that only their kind tells them from ids
    paddings, ids = graph.tensor("paddings", (1, LENGTH)), graph.tensor("ids", (1, LENGTH), "int32")
    numbers = graph.add("CAST", [ids], (1, LENGTH))
    blank = graph.add("MUL", [paddings, graph.constant(np.full((1, 1), -7.0, np.float32))], (1, LENGTH))
    both = graph.add("ADD", [numbers, blank], (1, LENGTH))
    flat = graph.add("FULLY_CONNECTED", [both, graph.constant(TEXT)], (1, SIZE))
    graph.save(path, [paddings, ids], [graph.add("L2_NORMALIZATION", [flat], (1, SIZE))])


def _mapper(path: Path) -> None:
    graph = _Writer()
    embedding, noise = graph.tensor("embedding", (1, SIZE)), graph.tensor("noise", (1, SIZE))
    little = graph.add("MUL", [noise, graph.constant(np.full((1, 1), 0.01, np.float32))], (1, SIZE))
    turned = graph.add("FULLY_CONNECTED", [embedding, graph.constant(MAPPER)], (1, SIZE))
    graph.save(path, [embedding, noise], [graph.add("ADD", [turned, little], (1, SIZE))])


def _preprocessor(path: Path) -> None:
    graph = _Writer()
    clip = graph.tensor("audio", (1, CLIP))
    shape = graph.constant(np.array([FRAMES, CLIP // FRAMES], np.int32))
    frames = graph.add("RESHAPE", [clip, shape], (FRAMES, CLIP // FRAMES), newShape=[FRAMES, CLIP // FRAMES])
    bands = graph.add("FULLY_CONNECTED", [frames, graph.constant(FEATURES)], (FRAMES, BINS))
    power = graph.add("MUL", [bands, bands], (FRAMES, BINS))
    whole = graph.constant(np.array([1, FRAMES, BINS], np.int32))
    graph.save(path, [clip], [graph.add("RESHAPE", [power, whole], (1, FRAMES, BINS), newShape=[1, FRAMES, BINS])])


def _music(path: Path) -> None:
    graph = _Writer()
    features = graph.tensor("features", (1, FRAMES, BINS))
    mean = graph.add("MEAN", [features, graph.constant(np.array([1], np.int32))], (1, BINS))
    flat = graph.add("FULLY_CONNECTED", [mean, graph.constant(MUSIC)], (1, SIZE))
    graph.save(path, [features], [graph.add("L2_NORMALIZATION", [flat], (1, SIZE))])


def _quantiser(path: Path) -> None:
    graph = _Writer()
    style = graph.tensor("embedding", (1, SIZE))
    shape = [LEVELS, SIZE // LEVELS]
    parts = graph.add("RESHAPE", [style, graph.constant(np.array(shape, np.int32))], shape, newShape=shape)
    scores = graph.add("FULLY_CONNECTED", [parts, graph.constant(TOKENS)], (LEVELS, CODES))
    best = graph.add(
        "ARG_MAX", [scores, graph.constant(np.array(1, np.int32))], (LEVELS,), "int32", outputType=_TYPES["int32"]
    )
    graph.save(path, [style], [best])


def _vocabulary(path: Path) -> None:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS),
        model_writer=written,
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
        normalization_rule_name="identity",
    )
    path.write_bytes(written.getvalue())


def sound() -> NDArray[np.float32]:
    """Return 13 s of stereo at 48 kHz: one clip and a part of another, below what resampling touches."""
    seconds = np.arange(13 * 48000)[:, None] / 48000
    tones = np.sin(2 * np.pi * seconds * [220.0, 330.0]) + 0.5 * np.sin(2 * np.pi * seconds * [1000.0, 700.0])
    return (0.2 * tones * (1.0 + np.sin(2 * np.pi * seconds / 5.0))).astype(np.float32)


def write_standins(folder: Path) -> None:
    """Write all six files."""
    folder.mkdir(parents=True, exist_ok=True)
    _vocabulary(folder / "spm.model")
    _text(folder / "text_encoder.tflite")
    _mapper(folder / "mapper.tflite")
    _preprocessor(folder / "audio_preprocessor.tflite")
    _music(folder / "music_encoder.tflite")
    _quantiser(folder / "pretrained_vector_quantizer.tflite")
