"""layerwise.jax on two devices (of the host): replicas and shards give the bits of one device."""

from __future__ import annotations

from test_jax_handlers import python

CODE = """
import jax, jax.numpy as jnp, numpy as np, layerwise.jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

mesh = Mesh(np.array(jax.devices()), ("data",))
weights, grads = (jnp.asarray(x) for x in np.random.default_rng(0).normal(size=(2, 64, 200)).astype(np.float32))
optimizer = layerwise.jax.novograd(0.1)
expected, _ = optimizer.step(weights, grads, optimizer.init(weights))

for spec in (P(), P("data"), P(None, "data")):
    placed = [jax.device_put(array, NamedSharding(mesh, spec)) for array in (weights, grads)]
    new, _ = jax.jit(optimizer.step)(*placed, optimizer.init(placed[0]))
    print(all(np.array_equal(shard.data, expected[shard.index]) for shard in new.addressable_shards))

def replica(weights, grads, state):
    return optimizer.step(weights, jax.lax.pmean(grads, "data"), state)[0]

replicas = jax.shard_map(replica, mesh=mesh, in_specs=(P(), P("data"), P()), out_specs=P())
print(np.array_equal(jax.jit(replicas)(weights, jnp.concatenate([grads, grads]), optimizer.init(weights)), expected))
"""


def test_replicated_and_sharded_arrays_give_the_bits_of_one_device() -> None:
    assert python(CODE, XLA_FLAGS="--xla_force_host_platform_device_count=2") == ["True"] * 4
