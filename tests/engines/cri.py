#!/usr/bin/python3
"""A small CRI client: one pod sandbox and one container through containerd's CRI plug-in, as a
kubelet would make them. Messages are encoded here, so no generated code is needed.

usage: cri.py SOCKET IMAGE HANDLER LOG-FOLDER MEMORY-MAX    prints what was seen, a line each
Source: k8s.io/cri-api runtime/v1 api.proto, for the numbers of the fields.
"""

import sys
import time

import grpc

NODE = 2


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def message(*fields):
    """(number, value) pairs: int, str, or bytes of an inner message."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def decode(data):
    """{number: [value, ...]}; a value is an int or bytes."""
    at, out = 0, {}

    def number():
        nonlocal at
        result = shift = 0
        while True:
            byte = data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    while at < len(data):
        key = number()
        if key & 7 == 0:
            value = number()
        else:
            length = number()
            value = data[at:at + length]
            at += length
        out.setdefault(key >> 3, []).append(value)
    return out


def main():
    socket, image, handler, logs, memory_max = sys.argv[1:]
    channel = grpc.insecure_channel(f"unix://{socket}")

    def call(method, body):
        path = f"/runtime.v1.RuntimeService/{method}"
        return decode(channel.unary_unary(path)(body, timeout=60))

    version = call("Version", b"")
    print("version", version[2][0].decode())
    metadata = message((1, "pod"), (2, "uid-1"), (3, "default"), (4, 0))
    # The host's network and so no hostname: no CNI plug-in has to be set up.
    options = message((1, NODE))
    linux = message((1, "/cri-pod"), (2, message((1, options))))
    sandbox = message((1, metadata), (3, logs), (8, linux))
    pod = call("RunPodSandbox", message((1, sandbox), (2, handler)))[1][0].decode()
    print("sandbox", call("PodSandboxStatus", message((1, pod)))[1][0] and "ready")

    resources = message((4, 64 << 20), (3, 512))
    config = message(
        (1, message((1, "one"))), (2, message((1, image))), (3, "sh"), (3, "-c"),
        (4, "echo from the container; exec sleep 1000"), (11, "one.log"),
        (15, message((1, resources), (2, message((3, options))))))
    body = message((1, pod), (2, config), (3, sandbox))
    container = call("CreateContainer", body)[1][0].decode()
    call("StartContainer", message((1, container)))
    print("state", decode(call("ContainerStatus", message((1, container)))[1][0])[3][0])
    limit = f"cat {memory_max}"
    answer = call("ExecSync", message((1, container), (2, "sh"), (2, "-c"), (2, limit), (3, 10)))
    print("exec", answer[1][0].decode().strip())
    answer = call("ExecSync", message((1, container), (2, "sh"), (2, "-c"), (2, "exit 9"), (3, 10)))
    print("exit", answer[3][0])
    update = message((1, container), (2, message((4, 100 << 20))))
    call("UpdateContainerResources", update)
    answer = call("ExecSync", message((1, container), (2, "sh"), (2, "-c"), (2, limit), (3, 10)))
    print("updated", answer[1][0].decode().strip())
    stats = call("ContainerStats", message((1, container)))
    print("stats", 1 in stats)
    deadline = time.monotonic() + 10
    text = ""
    while "from the container" not in text and time.monotonic() < deadline:
        with open(f"{logs}/one.log", encoding="utf-8") as log:
            text = log.read()
    print("log", text.split(" ", 2)[2].strip())
    call("StopContainer", message((1, container), (2, 0)))
    print("exited", decode(call("ContainerStatus", message((1, container)))[1][0])[7][0])
    call("RemoveContainer", message((1, container)))
    call("StopPodSandbox", message((1, pod)))
    call("RemovePodSandbox", message((1, pod)))
    print("left", len(call("ListPodSandbox", b"").get(1, [])))


main()
