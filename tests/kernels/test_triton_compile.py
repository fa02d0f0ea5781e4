"""The kernels for a GPU compile for one that is not there, within its registers."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", exc_type=ImportError)

# Triton interprets kernels in this process; a process of its own compiles them.
SCRIPT = """
import subprocess, sys
import triton
from triton.backends.compiler import GPUTarget
from qcodec.kernels import triton_batched_mlp, triton_batched_mlp_kernels, triton_elementwise_kernels
from qcodec.kernels.batched_mlp import Layers

def compiled(function, warps, others, **constants):
    signature = {name: "*fp32" for name in function.arg_names} | dict.fromkeys(constants, "constexpr")
    signature |= {name: "i32" for name in ("sources", "frames", "values") if name in signature} | others
    aligned = [name for name in signature if "*" in signature[name] or name in ("frames", "values")]
    attributes = {(function.arg_names.index(name),): [["tt.divisibility", 16]] for name in aligned}
    source = triton.compiler.ASTSource(function, signature, constants, attributes)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})

mlp, kernels = triton_batched_mlp, triton_batched_mlp_kernels
plan = mlp.Plan.of(Layers((30, 30, 30, 30), (False, True, False), (True, True, True), False, False))
(frames, warps), (backward_frames, backward_warps) = mlp._FORWARD[32], mlp._BACKWARD[32]
for kernel in (
    compiled(kernels.mlp_forward, warps, {}, plan=plan, keep=True, block=frames),
    compiled(kernels.mlp_backward, backward_warps, {}, plan=plan, need_x=True, block=backward_frames),
    compiled(kernels.add_partial_sums, 4, {"size": "i32", "parts": "i32"}, block=mlp._COLUMNS),
    compiled(triton_elementwise_kernels.modified_gradient, 4, {"parts": "*fp64"}, centred=True, chunk=4096),
):
    assert "tf32" not in kernel.asm["ptx"] and "mma" not in kernel.asm["ptx"], "not in float32"
    assert "atom." not in kernel.asm["ptx"], "an order that may change"
    assert kernel.metadata.shared < 48 * 1024, kernel.metadata.shared
    with open("kernel.cubin", "wb") as file:
        file.write(kernel.asm["cubin"])
    tool = triton.knobs.nvidia.cuobjdump.path
    usage = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    assert "STACK:0 " in usage.stdout and "LOCAL:0 " in usage.stdout, usage.stdout
    print(kernel.metadata.name)
"""


def test_the_kernels_of_the_surrogate_keep_to_float32_and_to_the_registers(tmp_path):
    pytest.importorskip("triton.backends.nvidia.compiler", exc_type=ImportError)
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kernels = ["mlp_forward", "mlp_backward", "add_partial_sums", "modified_gradient"]
    assert done.stdout.split() == kernels
