"""The class labels that an ONNX graph itself knows; needs the `onnx` package, so only publishing asks."""

from typing import BinaryIO

# What hands labels on as they are.
_PASSES = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})
_PICKS = frozenset({"ArrayFeatureExtractor", "Gather"})
_FARTHEST = 32


def class_labels(artifact: BinaryIO, output: str) -> tuple[int | str, ...] | None:
    """The labels of the classifier whose answer reaches an output, in the order of its probabilities.

    They stand in the attributes of a classifier or ZipMap, or in a constant from which the label is picked.

    Args:
        artifact: verified to be ONNX and to keep no data elsewhere.
        output: name of the graph's output for labels, or for maps from label to probability.

    Returns:
        None when the graph does not say.
    """
    import onnx

    graph = onnx.load_model_from_string(artifact.read()).graph
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for _ in range(_FARTHEST):
        node = made_by.get(output)
        if node is None:
            return None
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels_") and (attribute.ints or attribute.strings):
                return tuple(attribute.ints) or tuple(label.decode() for label in attribute.strings)
        if node.op_type in _PICKS and node.input[0] in constants:
            return _labels(onnx.numpy_helper.to_array(constants[node.input[0]]).ravel().tolist())
        if node.op_type not in _PASSES:
            return None
        output = node.input[0]
    return None


def _labels(values: list[object]) -> tuple[int | str, ...] | None:
    labels = [value.decode() if isinstance(value, bytes) else value for value in values]
    if all(isinstance(label, int | str) for label in labels):
        return tuple(label for label in labels if isinstance(label, int | str))
    return None
