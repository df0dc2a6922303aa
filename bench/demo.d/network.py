"""A multilayer perceptron in plain NumPy whose parameters and gradients each lie in one packed buffer."""

from __future__ import annotations

import numpy as np


class Network:
    """Dense layers with ReLU between them and softmax cross-entropy at the end, all float32.

    Each weight matrix and each bias is a layer of the plan. `weights` and `grads` are the packed buffers; the matrices
    used here are views of them, so an optimizer that changes `weights` has changed the network.
    """

    def __init__(self, widths: list[int], seed: int) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.names: list[str] = []
        for number, (fan_in, fan_out) in enumerate(zip(widths, widths[1:]), start=1):
            self.shapes += [(fan_in, fan_out), (fan_out,)]
            self.names += [f"matrix {number}", f"bias {number}"]
        self.sizes = [int(np.prod(shape)) for shape in self.shapes]
        self.weights = np.zeros(sum(self.sizes), np.float32)
        self.grads = np.zeros_like(self.weights)
        self._parameters, self._gradients = self._views(self.weights), self._views(self.grads)
        random = np.random.default_rng(seed)
        for matrix, bias in zip(self._parameters[::2], self._parameters[1::2]):
            fan_in = matrix.shape[0]  # He's rule for matrices, PyTorch's for biases
            matrix[...] = random.standard_normal(matrix.shape) * np.sqrt(2 / fan_in)
            bias[...] = random.uniform(-1, 1, bias.shape) / np.sqrt(fan_in)

    def _views(self, buffer: np.ndarray) -> list[np.ndarray]:
        parts = np.split(buffer, np.cumsum(self.sizes)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes)]

    def _activations(self, images: np.ndarray) -> list[np.ndarray]:
        """The input of every dense layer, then the logits."""
        values = [images]
        for matrix, bias in zip(self._parameters[::2], self._parameters[1::2]):
            out = values[-1] @ matrix
            out += bias
            if len(values) < len(self.shapes) // 2:
                np.maximum(out, 0, out=out)
            values.append(out)
        return values

    def loss_and_gradient(self, images: np.ndarray, labels: np.ndarray) -> float:
        """The mean cross-entropy over these images; leaves its gradient in `grads`."""
        values = self._activations(images)
        logits = values.pop()
        logits -= logits.max(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        normalizer = np.log(np.exp(logits).sum(axis=1))
        loss = float((normalizer - logits[rows, labels]).mean())
        delta = np.exp(logits - normalizer[:, None])
        delta[rows, labels] -= 1
        delta /= len(labels)
        for layer in reversed(range(len(values))):
            np.matmul(values[layer].T, delta, out=self._gradients[2 * layer])
            delta.sum(axis=0, out=self._gradients[2 * layer + 1])
            if layer:
                delta = delta @ self._parameters[2 * layer].T
                delta *= values[layer] > 0
        return loss

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        return float((self._activations(images)[-1].argmax(axis=1) == labels).mean())
