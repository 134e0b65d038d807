"""Makes the networks of tests/import.rs, and what ONNX Runtime computes by them.

    pip install onnx onnxruntime numpy
    python make.py

The graphs are built node by node as the exporters write them: torch.onnx (by tracing and by dynamo) and tf2onnx.
What is in `refused` cannot be run faithfully; ONNX Runtime is not asked about it.
"""
import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
INPUTS = 8
random = np.random.default_rng(7)


def weights(*shape, scale=0.8):
    return (random.standard_normal(shape) * scale).astype(np.float32)


def constant(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def rows(name, *shape, element=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, element, ["batch", *shape])


def model(name, nodes, constants, row=(INPUTS,), output=(1,), opset=17, **options):
    outputs = options.get("outputs", [nodes[-1].output[0]])
    graph = helper.make_graph(
        nodes,
        name,
        [rows("input", *row, element=options.get("element", TensorProto.FLOAT))],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, ["batch", *output]) for o in outputs],
        constants,
    )
    opsets = [helper.make_opsetid("", opset), *options.get("opsets", [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name=name)


def node(op, inputs, output, name=None, **attributes):
    return helper.make_node(op, inputs, [output], name=name or f"/{output}/{op}", **attributes)


def pytorch():
    """nn.Sequential(Linear, ReLU, Linear, ReLU, Linear, Sigmoid), traced."""
    nodes, constants, value = [], [], "input"
    for at, (inputs, outputs) in zip((0, 2, 4), ((8, 6), (6, 4), (4, 1))):
        constants += [constant(f"{at}.weight", weights(outputs, inputs)), constant(f"{at}.bias", weights(outputs))]
        nodes.append(node("Gemm", [value, f"{at}.weight", f"{at}.bias"], f"/{at}/Gemm_output_0", f"/{at}/Gemm", alpha=1.0, beta=1.0, transB=1))
        if at < 4:
            nodes.append(node("Relu", [nodes[-1].output[0]], f"/{at + 1}/Relu_output_0", f"/{at + 1}/Relu"))
        value = nodes[-1].output[0]
    nodes.append(node("Sigmoid", [value], "6", "/5/Sigmoid"))
    return model("pytorch", nodes, constants)


def keras():
    """Sequential(Dense(6, relu), Dense(1, sigmoid)) by tf2onnx, with its casts and identities."""
    constants = [
        constant("sequential/dense/MatMul/ReadVariableOp:0", weights(8, 6)),
        constant("sequential/dense/BiasAdd/ReadVariableOp:0", weights(6)),
        constant("sequential/dense_1/MatMul/ReadVariableOp:0", weights(6, 1)),
        constant("sequential/dense_1/BiasAdd/ReadVariableOp:0", weights(1)),
        constant("left/behind", weights(3)),
    ]
    names = [tensor.name for tensor in constants]
    return model("keras", [
        node("Cast", ["input"], "sequential/Cast:0", to=TensorProto.FLOAT),
        node("MatMul", ["sequential/Cast:0", names[0]], "sequential/dense/MatMul:0"),
        node("Add", ["sequential/dense/MatMul:0", names[1]], "sequential/dense/BiasAdd:0"),
        node("Relu", ["sequential/dense/BiasAdd:0"], "sequential/dense/Relu:0"),
        node("Tanh", ["sequential/dense/Relu:0"], "nobody/reads/this:0"),
        node("MatMul", ["sequential/dense/Relu:0", names[2]], "sequential/dense_1/MatMul:0"),
        node("Add", ["sequential/dense_1/MatMul:0", names[3]], "sequential/dense_1/BiasAdd:0"),
        node("Sigmoid", ["sequential/dense_1/BiasAdd:0"], "sequential/dense_1/Sigmoid:0"),
        node("Identity", ["sequential/dense_1/Sigmoid:0"], "dense_1"),
    ], constants, opset=13)


def viewed():
    """x.view(x.size(0), -1) of pairs of embeddings, a transposed weight, and squeeze(-1) at the end."""
    constants = [constant("weight", weights(5, 8)), constant("bias", weights(5)), constant("out", weights(1, 5)), constant("out_bias", weights(1))]
    return model("viewed", [
        node("Shape", ["input"], "shape"),
        helper.make_node("Constant", [], ["zero"], name="/Constant", value=numpy_helper.from_array(np.array(0, np.int64))),
        node("Gather", ["shape", "zero"], "batch", axis=0),
        helper.make_node("Constant", [], ["axes"], name="/Constant_1", value=numpy_helper.from_array(np.array([0], np.int64))),
        node("Unsqueeze", ["batch", "axes"], "batch_1"),
        helper.make_node("Constant", [], ["rest"], name="/Constant_2", value_ints=[-1]),
        node("Concat", ["batch_1", "rest"], "flat_shape", axis=0),
        node("Reshape", ["input", "flat_shape"], "flat"),
        node("Transpose", ["weight"], "weight_t", perm=[1, 0]),
        node("MatMul", ["flat", "weight_t"], "product"),
        node("Add", ["bias", "product"], "sum"),
        node("Relu", ["sum"], "hidden"),
        node("Transpose", ["out"], "out_t"),
        node("MatMul", ["hidden", "out_t"], "logit"),
        node("Add", ["logit", "out_bias"], "biased"),
        node("Sigmoid", ["biased"], "probability"),
        helper.make_node("Constant", [], ["last"], name="/Constant_3", value=numpy_helper.from_array(np.array([-1], np.int64))),
        node("Squeeze", ["probability", "last"], "squeezed"),
    ], constants, row=(2, 4), output=())


def normalised():
    """Keras' Normalization before a linear scorer, a dropout that does nothing, and factors in Gemm."""
    constants = [constant("mean", weights(1, 8)), constant("deviation", np.abs(weights(1, 8)) + 0.5), constant("w", weights(8, 1)), constant("b", weights(1)), constant("shape", [-1, 8], np.int64)]
    return model("normalised", [
        node("Reshape", ["input", "shape"], "reshaped"),
        node("Sub", ["reshaped", "mean"], "centred"),
        node("Div", ["centred", "deviation"], "scaled"),
        node("Flatten", ["scaled"], "flattened", axis=1),
        helper.make_node("Dropout", ["flattened"], ["kept"], name="dropout"),
        node("Gemm", ["kept", "w", "b"], "logit", alpha=0.5, beta=2.0),
        node("Sigmoid", ["logit"], "probability"),
    ], constants)


def refused():
    w, b, v = constant("w", weights(8, 4)), constant("b", weights(4)), constant("v", weights(4, 1))
    first = [node("MatMul", ["input", "w"], "product", "dense/MatMul"), node("Add", ["product", "b"], "sum", "dense/Add")]
    last = lambda value: [node("MatMul", [value, "v"], "logit", "out/MatMul"), node("Sigmoid", ["logit"], "probability", "out/Sigmoid")]
    yield "tanh", model("tanh", [*first, node("Tanh", ["sum"], "hidden", "dense/Tanh"), *last("hidden")], [w, b, v])
    yield "hidden-sigmoid", model("s", [*first, node("Sigmoid", ["sum"], "hidden", "dense/Sigmoid"), *last("hidden")], [w, b, v])
    yield "residual", model("r", [*first, node("Relu", ["sum"], "hidden", "dense/Relu"), node("Add", ["hidden", "sum"], "both", "skip/Add"), *last("both")], [w, b, v])
    yield "logit", model("l", [*first, node("Relu", ["sum"], "hidden", "dense/Relu"), last("hidden")[0]], [w, b, v])
    yield "four-outputs", model("f", [*first, node("Sigmoid", ["sum"], "probabilities", "dense/Sigmoid")], [w, b])
    yield "two-heads", model("t", [*first, *last("sum")], [w, b, v], outputs=["probability", "logit"])
    yield "other-widths", model("o", [node("MatMul", ["input", "v"], "product", "dense/MatMul"), *last("product")], [v])
    yield "double", model("d", first + last("sum"), [constant("w", weights(8, 4), np.float64), b, v])
    yield "double-input", model("i", first + last("sum"), [w, b, v], element=TensorProto.DOUBLE)
    yield "custom-domain", model("c", [*first, helper.make_node("Gelu", ["sum"], ["hidden"], name="dense/Gelu", domain="com.microsoft"), *last("hidden")], [w, b, v], opsets=[helper.make_opsetid("com.microsoft", 1)])
    yield "old-operators", model("x", first + last("sum"), [w, b, v], opset=6)
    external = model("e", first + last("sum"), [w, b, v])
    for tensor in external.graph.initializer:
        if tensor.name == "w":
            tensor.ClearField("raw_data")
            tensor.external_data.add(key="location", value="../../../../etc/passwd")
            tensor.data_location = TensorProto.EXTERNAL
    yield "external-data", external
    yield "joined-rows", model("j", [helper.make_node("Flatten", ["input"], ["flat"], name="flatten", axis=0), node("MatMul", ["flat", "w"], "product", "dense/MatMul"), *last("product")], [w, v])


def main():
    asked = (random.standard_normal((6, INPUTS)) * 1.5).astype(np.float32)
    golden = {"inputs": asked.tolist(), "outputs": {}}
    for network in (pytorch(), keras(), viewed(), normalised()):
        onnx.checker.check_model(network, full_check=True)
        name = network.graph.name
        onnx.save(network, HERE / f"{name}.onnx")
        row = (2, 4) if name == "viewed" else (INPUTS,)
        session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
        found = session.run(None, {"input": asked.reshape(-1, *row)})[0]
        golden["outputs"][name] = found.reshape(-1).tolist()
    (HERE / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    (HERE / "refused").mkdir(exist_ok=True)
    for name, network in refused():
        (HERE / "refused" / f"{name}.onnx").write_bytes(network.SerializeToString())


if __name__ == "__main__":
    main()
