"""A step in a CUDA graph, as PyTorch's documentation captures one."""

import gc

import torch


def captured(step):
    """What replays a graph of one step, after a first step outside of it. Raises where the step cannot be captured."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    gc.collect()  # a plan that is freed while a graph is captured ends the capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
