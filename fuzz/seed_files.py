"""The first inputs of the fuzz targets that read files: kernels, archives, pictures, disks, texts (seeds.py)."""

import bz2
import gzip
import lzma
import os
import subprocess
import zlib

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def le(value, size):
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def words(*values):
    return b"".join(le(value, 4) for value in values)


def elf(code=b"\xf4"):
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + le(2, 2) + le(62, 2) + words(1) + le(0x10_0000, 8) + le(64, 8) + le(0, 8)
    head += words(0) + b"".join(le(half, 2) for half in (64, 56, 1, 0, 0, 0))
    segment = words(1, 7) + le(120, 8) + le(0x10_0000, 8) * 2 + le(len(code), 8) + le(0x2000, 8) + le(16, 8)
    return head + segment + code


def bz_image(payload):
    sectors = 1
    setup = bytearray(512 * (sectors + 1))
    setup[0x1F1] = sectors
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x200:0x206] = b"\xeb\x6aHdrS"
    setup[0x206:0x208] = le(0x20F, 2)
    setup[0x211] = 1
    setup[0x236:0x238] = le(1, 2)
    setup[0x248:0x250] = words(0, len(payload))
    return bytes(setup) + payload


def unified(kernel):
    sections = [(b".linux", kernel), (b".cmdline", b"console=ttyS0\0"), (b".initrd", b"070701")]
    head = b"MZ".ljust(0x3C, b"\0") + words(0x40) + b"PE\0\0" + le(0x8664, 2) + le(len(sections), 2) + words(0, 0, 0) + le(240, 2) + le(0x22E, 2)
    optional = le(0x20B, 2) + b"\0" * 14 + words(0x1000, 0x1000) + le(0x1_4000_0000, 8) + words(0x1000, 0x200)
    head += optional.ljust(240, b"\0")
    table, body, at = b"", b"", 0x400
    for name, data in sections:
        size = len(data) + -len(data) % 0x200
        table += name.ljust(8, b"\0") + words(len(data), 0x1000 + at, size, at, 0, 0, 0, 0x4000_0040)
        body, at = body + data.ljust(size, b"\0"), at + size
    return (head + table).ljust(0x400, b"\0") + body


def cpio(*files):
    out = b""
    for name, data in (*files, (b"TRAILER!!!", b"")):
        numbers = [1, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % number for number in numbers) + name + b"\0"
        out += head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
    return out


def packed(data):
    """By what is installed: ci/setup names the packages."""
    yield "gzip", gzip.compress(data, mtime=0)
    yield "bzip2", bz2.compress(data)
    yield "xz", lzma.compress(data, check=lzma.CHECK_CRC32)
    yield "lzma", lzma.compress(data, format=lzma.FORMAT_ALONE)
    for name, command in [("zstd", ["zstd", "-c"]), ("lz4", ["lz4", "-l", "-c", "-"]), ("lzo", ["lzop", "-c"])]:
        yield name, subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def png(width, height, colour, depth, rows):
    chunk = lambda kind, data: len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, 0])
    palette = chunk(b"PLTE", bytes(range(12))) if colour == 3 else b""
    return chunk(b"IHDR", head) + palette + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def qcow2():
    cluster = 512
    be = lambda value, size: value.to_bytes(size, "big")
    for version in (2, 3):
        head = b"QFI\xfb" + be(version, 4) + be(0, 8) + be(0, 4) + be(9, 4) + be(0x1_0000, 8) + be(0, 4) + be(2, 4) + be(3 * cluster, 8)
        head += be(cluster, 8) + be(1, 4) + be(0, 4) + be(0, 8)
        head += be(0, 24) + be(4, 4) + be(104, 4) if version == 3 else b""
        counts = b"".join(be(1, 2) for _ in range(6))
        clusters = [head, be(2 * cluster, 8), counts, be(4 * cluster | 1 << 63, 8), be(5 * cluster | 1 << 63, 8), b"data" * 128]
        image = b"".join(part.ljust(cluster, b"\0") for part in clusters)
        acts = bytes([1]) + b"".join(bytes([what]) + words(at) + bytes([3]) for what, at in [(0, 0), (3, 0), (4, 9), (6, 1), (7, 4), (0, 99), (8, 0)])
        yield f"version-{version}", acts.ljust(64, b"\x08") + image


MACHINE = """memory = "64M"
cpus = 2
accel = "soft"
seed = 7
iommu = "virtio"
date = "2024-02-29T12:00:00Z"
serial = ["null"]
faults = ["gpu:hang,nth=2"]
[kernel]
path = "vmlinuz"
initramfs = ["a", "b"]
command-line = "quiet"
[tracing]
file = "t"
limit = "1M"
categories = "default"
[[devices]]
kind = "gpu"
slot = 1
parameters = { latency = 7 }
"""

SCRIPT = "# keys\n2s press KeyA\n1500ms release Enter\nmark:3 tap 57\nmark:3+20us move 0 32767\n0s wheel -2\n1ns press left\n"


def files():
    kernel = elf(b"\xf4Linux version 6.1.0-fuzz (x)\0")
    yield "kernel", "elf", kernel
    yield "kernel", "unified", unified(bz_image(gzip.compress(kernel, mtime=0)))
    for name, data in packed(kernel):
        yield "kernel", name, bz_image(data + le(len(kernel), 4))
        yield "kernel", f"packed-{name}", data
        yield "payload", name, data
    module = b"\x7fELF" + b"\0" * 20 + b"\0vermagic=6.1.0-other SMP \0"
    archive = cpio((b"init", b"#!/bin/sh\n"), (b"lib/modules/6.1.0-other/x.ko", module), (b"y.ko", module))
    yield "initramfs", "plain", archive
    for name, data in packed(archive):
        yield "initramfs", name, archive + b"\0" * 4 + data
    for colour, bytes_of in [("420jpeg", 384), ("422", 512), ("444", 768), ("mono", 256)]:
        frames = (b"FRAME\n" + bytes(n % 251 for n in range(bytes_of))) * 2
        yield "y4m", colour, f"W16 H16 F30:1 Ip A1:1 C{colour} XCOLORRANGE=LIMITED\n".encode() + frames
    for colour, depth, row in [(0, 8, 16), (0, 1, 2), (2, 8, 48), (3, 2, 4), (4, 8, 32), (6, 8, 64), (2, 16, 96)]:
        yield "png", f"colour-{colour}-{depth}", png(16, 16, colour, depth, b"".join(bytes([n % 5]) + bytes(row) for n in range(16)))
    for name, data in qcow2():
        yield "qcow2", name, data
    yield "machine_file", "all", MACHINE.encode()
    kinds = "camera display edu pvpanic virtio-console virtio-net virtio-rng virtio-gpu virtio-keyboard virtio-tablet virtio-fs virtio-blk".split()
    yield "machine_file", "devices", "".join(f'[[devices]]\nkind = "{kind}"\nslot = {slot}\n' for slot, kind in enumerate(kinds, 1)).encode()
    folder = os.path.join(ROOT, "guest-tests", "scenarios")
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".toml") and os.path.getsize(path) < 3000:
            with open(path, "rb") as file:
                yield "scenario_file", name[:-5], file.read()
    yield "input_script", "script", SCRIPT.encode()
    yield "input_script", "record", b"fencepost input 1 0 0 0\n100 5 0011\n200 serial0 6162\n300 serial1 break\n"
    captured = os.path.join(ROOT, "trace", "src", "ftrace", "captured")
    for name in sorted(os.listdir(captured)):
        with open(os.path.join(captured, name), "rb") as file:
            for number, start in enumerate(cuts(file.read())):
                yield "guest_trace", f"{name}-{number}", start


def cuts(stream):
    """The frames of a stream, some at a time: each cut with the first frame, the layout of pages."""
    frames, at = [], 0
    while at + 8 <= len(stream):
        length = int.from_bytes(stream[at + 4 : at + 8], "little")
        end = at + 8 + length + -length % 4
        frames.append(stream[at:end])
        at = end
    first, cut = frames[0], frames[0]
    for frame in frames[1:]:
        if len(cut) + len(frame) > 12_000 and cut != first:
            yield cut
            cut = first
        if len(frame) < 12_000:
            cut += frame
    yield cut
