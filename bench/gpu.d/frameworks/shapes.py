"""The parameters of real models, as shapes; bench/models.cpp generates the same, as numbers of elements."""

import math


def _normalized(inputs, outputs, kernel):
    """A convolution without bias, then batch normalization's weight and bias."""
    return [(outputs, inputs, kernel, kernel), (outputs,), (outputs,)]


def resnet50():
    shapes, width = _normalized(3, 64, 7), 64
    for inner, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            shapes += _normalized(width, inner, 1) + _normalized(inner, inner, 3) + _normalized(inner, 4 * inner, 1)
            if block == 0:
                shapes += _normalized(width, 4 * inner, 1)
            width = 4 * inner
    return [*shapes, (1000, width), (1000,)]


def _linear(inputs, outputs):
    return [(outputs, inputs), (outputs,)]


def bert_large():
    width, inner = 1024, 4096
    shapes = [(30522, width), (512, width), (2, width), (width,), (width,)]
    for _ in range(24):
        shapes += 4 * _linear(width, width) + 2 * [(width,)]
        shapes += _linear(width, inner) + _linear(inner, width) + 2 * [(width,)]
    return shapes + _linear(width, width)


def of_model(name):
    """Also LxN: L layers of N elements, such as 1000x20000."""
    if name in ("resnet50", "bert-large"):
        return resnet50() if name == "resnet50" else bert_large()
    layers, elements = name.split("x")
    return int(layers) * [(int(elements),)]


def count(shapes):
    return sum(map(math.prod, shapes))
