"""Generates Feast's clients from the protos in Feast's wheel: generate.py OUT

The wheel carries its protos inside the modules that were generated from them. They are taken out as descriptors, and
protoc makes clients of those, as anyone who speaks Feast from their own code does. PYTHONPATH names the unpacked wheel.
"""

import sys
import tempfile

from google.protobuf import descriptor_pb2, timestamp_pb2
from grpc_tools import protoc

from feast.protos.feast.serving import GrpcServer_pb2, ServingService_pb2
from feast.protos.feast.types import Value_pb2

out = sys.argv[1]
protos = [timestamp_pb2, Value_pb2, ServingService_pb2, GrpcServer_pb2]
with tempfile.NamedTemporaryFile() as descriptors:
    files = descriptor_pb2.FileDescriptorSet()
    for proto in protos:
        proto.DESCRIPTOR.CopyToProto(files.file.add())
    descriptors.write(files.SerializeToString())
    descriptors.flush()
    generate = ["protoc", f"--descriptor_set_in={descriptors.name}", f"--python_out={out}", f"--grpc_python_out={out}"]
    sys.exit(protoc.main(generate + [proto.DESCRIPTOR.name for proto in protos[1:]]))
