# ruff: noqa: E501
"""What MindSpore 2.10 writes in a dry run, shortened."""

STAMP = "[INFO] DEVICE(1,7f86e53c4b80,python):2026-11-21-21:33:27.899.757 [mindspore/ccsrc/plugin/ascend/"


def kernel(name, kind):
    return f"{STAMP}kernel_executor/ascend_kernel_executor.cc:175] GenerateKernelMod] kernel opname:{name}, kernel type:{kind}\n"


def fallback(node):
    return f"{STAMP}kernel_executor/kernel_select_ascend.cc:240] TryBackoffCpu] Try to use backoff CPU kernel, node:{node}\n"


GRAPH = """\
# IR entry: @kernel_graph0
%para1_net.flat: <Ref[Tensor[Float16]], (1568), ref_key=net.flat>  :  <Float16xDefaultFormat[const vector]{1568}>

subgraph @kernel_graph0() {
  %0(CNode_1) = Load(%para1_scale, UMonad[U]) primitive_attrs: {output_names: [output]}
      : (<Ref[Tensor[Float32]], ()>, <UMonad, NoShape>) -> (<Tensor[Float32], ()>)
      # Fullname with scope: (Default/Load-op0)
      # In file train.py:90~108, 4~35/    def construct(self,im,lab):/
  %1(CNode_2) = TensorMove(%0) primitive_attrs: {stream_id: U32(0)}
      : (<Tensor[Float32], ()>) -> (<Tensor[Float32], ()>)
      : (<Float32xDefaultFormat[const vector]{}>) -> (<Float32xDefaultFormat[const vector]{}>)
      : (Tensor) -> (Tensor)
      # Fullname with scope: (Default/TensorMove-op0)
  %2(equiv_1) = PrimFunc_MatMul(%1, %para1, Bool(0), Bool(1)) primitive_attrs: {stream_id: U32(0)}
      : (<Tensor[Float16], (8, 3)>, <Tensor[Float16], (5, 3)>, <Bool, NoShape>, <Bool, NoShape>) -> (<Tensor[Float16], (8, 5)>)
      : (<Float16xDefaultFormat[const vector]{8, 3}>, <Float16xDefaultFormat[const vector]{5, 3}>, <BoolxDefaultFormat[const vector]{}>, <BoolxDefaultFormat[const vector]{}>) -> (<Float16xDefaultFormat[const vector]{8, 5}>)
      : (Tensor, Tensor, Scalar, Scalar) -> (Tensor)
      # Fullname with scope: (Default/network-ViT/head-Dense/MatMul-op0)
  %3(equiv_2) = PrimFunc_Split(%2, I64(1), I64(5)) primitive_attrs: {stream_id: U32(0)}
      : (<Tensor[Float16], (8, 5)>) -> (<Tuple[Tensor[Float16]*2], TupleShape((8, 2), (8, 3))>)
      : (<Float16xDefaultFormat[const vector]{8, 5}>, <NonexDefaultFormat[const vector]{}>) -> (<BFloat16xDefaultFormat[const vector]{8, 2}>, <Float32xFRACTAL_NZ[const vector]{8, 3}>)
      # Fullname with scope: (Default/network-ViT/Split-op0)
  Return(%3)
      : (<Tensor[Float16], (8, 5)>)
}
"""

NO_KERNEL = """\
Ascend operator selection failed info: The current operator needs to be supplemented with an adapter, please check in \
`transform` directory. node is Default/network-ViT/norm-Norm/FloatStatus-op0

----------------------------------------------------
- The Function Call Stack: (For framework developers)
----------------------------------------------------
In file /home/me/net.py:20, 15~24/        return self.status(y)/
In file /home/me/net.py:18~20, 4~24/    def construct(self,x):/

----------------------------------------------------
- The Traceback of Net Construct Code:
----------------------------------------------------

# In file /home/me/net.py:18~20, 4~24
    def construct(self,x):
    ^

# In file /home/me/net.py:20, 15~24
        return self.status(y)
               ^~~~~~~~~

CPU operator selection failed type: 3. failed info: Unsupported op [FloatStatus] on CPU, Please confirm whether the \
device target setting is correct.
"""

NO_SHAPE = """\
For 'MatMulExt' op, shape1[-1] must be equal to shape2[-2], but got 8 and 4.

----------------------------------------------------
- C++ Call Stack: (For framework developers)
----------------------------------------------------
mindspore/ops/infer/ops_func_impl//matmul_ext.cc:43 CheckMatMulShapes

----------------------------------------------------
- The Traceback of Net Construct Code:
----------------------------------------------------
# 0 In file /home/me/net.py:26, 10~25
        y=ops.matmul(x,x)
          ^~~~~~~~~~~~~~~
# 1 In file /env/lib/python3.11/site-packages/mindspore/ops/function/math_func.py:8724, 11~49
    return auto_generate.matmul_ext(input, other)
           ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
 (See file '/tmp/rank_0/om/analyze_fail.ir' for more details.)
"""
