"""A model in PyTorch twice, on the device and on the CPU, stepped alike and compared bit by bit."""

import copy

import torch
from bits import difference, flip_one_bit, planted
from layerwise.torch import LARC, LARCSGD, NovoGrad

STEPS = 20
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
SCALED_DTYPES = {**DTYPES, "f16": torch.float16}
# Layers around a tile of 8192 elements, and shapes whose order in memory is not that of their dimensions.
SHAPES = ((1,), (64,), (8191,), (8192,), (8193,), (100_000,), (8, 4, 3, 3), (77, 131))
CHANNELS_LAST, TRANSPOSED = 6, 7
UNALIGNED = (1, 3, 5)  # begin one element into their memory


def _novograd_with_everything(parameters, **options):
    multipliers = [1 + 0.25 * (i % 3) for i in range(len(SHAPES))]
    return NovoGrad(parameters, 0.01, amsgrad=True, bias_correction=True, grad_averaging=True, average_first_step=False,
                    decoupled_weight_decay=True, lr_mult=multipliers, first_moment_dtype="bfloat16",
                    second_moment_dtype="float64", **options)


def _larc_and_sgd(parameters, threads=0):
    # Powers of two, so that SGD, which is PyTorch's own, rounds alike whether its kernels fuse the product or not.
    return LARC(torch.optim.SGD(parameters, 2.0**-5, momentum=0.5), threads=threads)


MAKERS = {
    "NovoGrad": lambda parameters, **options: NovoGrad(parameters, 0.01, **options),
    "NovoGrad, every option": _novograd_with_everything,
    "LARCSGD": lambda parameters, **options: LARCSGD(parameters, 0.1, weight_decay=1e-4, nesterov=True, **options),
    "LARC around SGD": _larc_and_sgd,
}


def make_parameters(device, dtype):
    """Leaf tensors with gradients to come; the same values on every device."""
    random = torch.Generator().manual_seed(1)
    parameters = []
    for i, shape in enumerate(SHAPES):
        values = torch.randn(shape, generator=random).mul_(0.05).to(dtype)
        if i == CHANNELS_LAST:
            values = values.to(device).contiguous(memory_format=torch.channels_last)
        elif i == TRANSPOSED:
            values = values.to(device).t().contiguous().t()
        elif i in UNALIGNED:
            memory = torch.zeros(values.numel() + 1, dtype=dtype, device=device)
            memory[1:] = values.to(device)
            values = memory[1:]
        parameters.append(torch.nn.Parameter(values.to(device)))
    return parameters


def make_gradients(step, dtype, left_out=True):
    """On the CPU; None for layers that take no part in the step, which are others each time."""
    random = torch.Generator().manual_seed(1000 + step)
    gradients = [torch.randn(shape, generator=random).mul_(0.01).to(dtype) for shape in SHAPES]
    if step == 4:
        gradients[2].zero_()
    return [None if left_out and (step + i) % 5 == 0 else gradient for i, gradient in enumerate(gradients)]


class Twins:
    """`make(parameters, threads=N, **options)` gives the optimizer of each side."""

    def __init__(self, make, device, dtype, **options):
        self.steps, self.dtype = 0, dtype
        self.device_weights, self.host_weights = make_parameters(device, dtype), make_parameters("cpu", dtype)
        # In a rehearsal both are on the CPU: another number of threads is what they may differ in.
        self.device_optimizer = make(self.device_weights, threads=2, **options)
        self.host_optimizer = make(self.host_weights, threads=1, **copy.deepcopy(options))

    def set_gradients(self, gradients, scale=1.0):
        """Those of the device are in the memory of the last step's where there are any, and times `scale`."""
        for device, host, gradient in zip(self.device_weights, self.host_weights, gradients):
            if gradient is None:
                device.grad = host.grad = None
                continue
            host.grad = gradient.clone()
            if device.grad is None:
                device.grad = torch.empty_like(gradient, device=device.device)
            device.grad.copy_(gradient * scale)

    def device_stepped(self):
        """To be called after each step of the device; plants the wrong bit where one is due."""
        self.steps += 1
        if planted(self.steps):
            flip_one_bit(self.device_weights[5])

    def step(self, gradients, device_step=None):
        self.set_gradients(gradients)
        (device_step or self.device_optimizer.step)()
        self.device_stepped()
        self.host_optimizer.step()

    def difference(self, gradients_too=False):
        pairs = []
        for i, (device, host) in enumerate(zip(self.device_weights, self.host_weights)):
            pairs.append((f"weights of layer {i}", device, host))
            states = self.device_optimizer.state[device], self.host_optimizer.state[host]
            if states[0].keys() != states[1].keys():
                return f"state of layer {i}: {sorted(states[0])} on the device, {sorted(states[1])} on the CPU"
            pairs += [(f"{name} of layer {i}", value, states[1][name]) for name, value in states[0].items()
                      if torch.is_tensor(value)]
            if gradients_too and host.grad is not None:
                pairs.append((f"gradient of layer {i}", device.grad, host.grad))
        return difference(pairs)
