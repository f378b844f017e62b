"""Writes the client of the contract, generated from `proto/`, into the environment that runs this script."""

import sys
import sysconfig
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

protos = Path(__file__).resolve().parents[2] / "proto"
packages = sysconfig.get_path("purelib")
command = [
    "protoc",
    f"--proto_path={protos}",
    f"--proto_path={files('grpc_tools') / '_proto'}",
    f"--python_out={packages}",
    f"--grpc_python_out={packages}",
]
sys.exit(protoc.main(command + [str(file) for file in protos.glob("portcullis/v1/*.proto")]))
