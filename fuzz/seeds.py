#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets, from which libFuzzer makes others: each goes deep into one thing.

    fuzz/seeds.py FOLDER [FENCEPOST]

FOLDER/TARGET/seed-NAME is written. FENCEPOST, the command, is asked for a snapshot and a trace of a small guest; without it those two
have none. The form of inputs is that of fuzz/src (`op.rs` for devices, `cpu/mod.rs`) and of the targets themselves.
"""

import os
import subprocess
import sys
import tempfile

from seed_files import elf, files, le, words


# Acts of a guest: fuzz/src/op.rs.


def write(offset, value, width=2, bar=0):
    return bytes([width << 4 | bar << 6]) + le(offset, 2) + le(value, 1 << width)


def read(offset, width=2, bar=0):
    return bytes([3 | width << 4 | bar << 6]) + le(offset, 2)


def store(at, data):
    parts = [(at + n, data[n : n + 255]) for n in range(0, len(data), 255)]
    return b"".join(bytes([4]) + le(at, 3) + bytes([len(part)]) + part for at, part in parts)


def wait(count, shift):
    return bytes([6, count, shift])


def receive(data):
    return bytes([8, len(data)]) + data


RESTORE, RESET, RESTART = bytes([9]), bytes([10]), bytes([15])


def refuse(page, pages):
    return bytes([11, page, pages])


def add(queue, *parts):
    """Parts are (address, length, whether the device may write)."""
    coded = b"".join(le(at, 3) + le(length | may_write << 23, 3) for at, length, may_write in parts)
    return bytes([12, queue, len(parts)]) + coded


def kick(queue):
    return bytes([13, queue])


def request(queue, out, room, at=0x1000):
    """A buffer with `out` for the device to read and `room` bytes for its answer."""
    parts = [(at, len(out), 0)] if out else []
    parts += [(at + 0x1000, room, 1)] if room else []
    return store(at, out) + add(queue, *parts) + kick(queue) + wait(100, 14)


def device(*acts, setup=0):
    return bytes([setup]) + b"".join(acts)


def sg(*segments):
    return b"".join(le(iova, 8) + words(length, 0) for iova, length in segments)


# The GPU: docs/gpu.md.


def operand(table=0, entries=0, stride=0, offset=0):
    return le(table, 8) + words(entries, stride) + le(offset, 8)


def packet(opcode, dst=operand(), src=operand(), src2=operand(), flags=0, seqno=0, width=0, height=0, value=0, address=0, size=(0, 0), context=0):
    head = words(opcode, flags) + le(seqno, 8) + dst + src + src2 + words(width, height)
    return head + le(value, 8) + le(address, 8) + words(*size, context, 0)


def gpu_ring(ring, packets, base, waiting=wait(255, 12)):
    at = 0x100 * (ring + 1)
    setup = [(0x00, base), (0x08, 8), (0x20, 0x7000 + 8 * ring), (0x14, 1)]
    acts = store(base, b"".join(packets)) + b"".join(write(at + offset, value) for offset, value in setup)
    return acts + write(at + 0x10, len(packets)) + waiting + read(at + 0x18) + read(at + 0x28)


def gpu():
    lists = store(0x1_0000, sg(*((0x2_0000 + 0x1000 * n, 4096) for n in range(4)))) + store(0x1_0100, sg((0x3_0000, 0x4000)))
    a, b = operand(0x1_0000, 4, 64), operand(0x1_0100, 1, 64)
    yield "fence", device(gpu_ring(0, [packet(6, seqno=7), packet(0)], 0x4000))
    yield "restore", device(gpu_ring(0, [packet(4, value=1, address=0x3000)], 0x4000), RESTORE, wait(100, 10), store(0x3000, le(1, 8)), wait(200, 16))
    for opcode in range(1, 13):
        acts = [packet(opcode, b, a, a, width=16, height=8, value=0x1234, address=0x3000, size=(16, 8), seqno=opcode), packet(6, seqno=9)]
        yield f"opcode-{opcode}", device(lists, gpu_ring(opcode % 2, acts, 0x4000), RESTORE, wait(200, 16))
    yield "copy-ring", device(lists, gpu_ring(2, [packet(2, b, a, width=64, height=16), packet(6, seqno=1)], 0x6000))
    yield "refused", device(lists, refuse(0x20, 2), gpu_ring(0, [packet(2, b, a, width=64, height=64)], 0x4000), write(0x114, 2))
    # A context: a table of page tables; addresses of two levels.
    context = store(0x8000, le(0x9000 | 1, 8) * 4) + store(0x9000, le(0xA000 | 3, 8) * 4) + store(0xA000, b"".join(le(0x2_0000 + 0x1000 * n | 3, 8) for n in range(8)))
    enable = write(0x40, 0x8000) + write(0x48, 4)
    program = [packet(12, operand(0, 0, 64), operand(0, 0, 64), width=16, height=4, context=1), packet(2, operand(0, 0, 64), operand(0, 0, 64, 256), width=16, height=2, context=1)]
    yield "context", device(context, enable, gpu_ring(0, program, 0x4000), write(0x4C, 1 << 16))


def camera():
    descriptor = words(1, 0, 0, 1, 0x3000, 0, 4, 0x400, 0, 0, 0, 0, 0, 0, 0, 0)
    table = sg((0x4000, 0x400), (0x5000, 0x400), (0x6000, 0x800), (0x7000, 0x800))
    for name, fourcc, stride in [("yuyv", 0x5659_5559, 64), ("nv12", 0x3231_564E, 32)]:
        registers = [(0xC0, 0), (0x80, fourcc), (0x84, 32), (0x88, 16), (0x8C, stride), (0x90, 240), (0x94, 1), (0x98, 0x1000), (0x9C, 0)]
        registers += [(0xA0, 0x2000), (0xA4, 0), (0xA8, 16), (0xC8, 9), (0xC0, 1)]
        start = store(0x1000, descriptor * 4) + store(0x3000, table) + b"".join(write(*it) for it in registers)
        controls = b"".join(write(offset, 5) for offset in range(0x100, 0x180, 4))
        yield name, device(start, wait(200, 16), RESTORE, wait(200, 16), controls, write(0xC8, 12), wait(200, 16), write(0xC0, 0))
    yield "registers", device(b"".join(read(offset) + write(offset, 1) for offset in range(0, 0x140, 8)))


def display():
    lists = store(0x1000, sg((0x4000, 0x2000), (0x8000, 0x4000)))
    for head, at in [("first", 0x100), ("second", 0x200)]:
        for fourcc in [0x3432_5258, 0x3432_5241, 0x3231_564E, 0x5659_5559]:
            mode = [(0x14, 7), (at + 4, 64 | 48 << 16), (at + 8, 80 | 52 << 16), (at + 0xC, 2000), (at, 1)]
            plane = [(0x404, fourcc), (0x408, 0x1000), (0x40C, 0), (0x410, 2), (0x414, 0), (0x418, 256), (0x41C, 64 | 48 << 16)]
            plane += [(0x420, 0), (0x428, 0), (0x42C, 0xFF00), (0x400, 1), (0x480, 1), (0x484, 0x3432_5258), (0x488, 0x1000)]
            plane += [(0x490, 2), (0x498, 64), (0x49C, 8 | 8 << 16), (0x4A8, 0), (0x4AC, 0xFF00), (0x4D0, 64)]
            back = [(0xA00, 1), (0xA04, 0x3432_5258), (0xA08, 0x1000), (0xA10, 2), (0xA18, 256)]
            # The second head's registers are 0x1000 further where there are any (docs/display.md).
            shift = 0 if head == "first" else 0x1000
            acts = b"".join(write(offset + shift, value) for offset, value in mode + plane + back) + write(0x110 + shift, 1)
            yield f"{head}-{fourcc:x}", device(lists, acts, wait(200, 16), RESTORE, wait(200, 16), write(0x170 + shift, 1), write(0x110 + shift, 1), wait(250, 16))


def edu():
    dma = write(0x80, 0x1000, 3) + write(0x88, 0x4_0000, 3) + write(0x90, 64, 3)
    yield "factorial", device(write(0x20, 0x80), write(0x08, 5), wait(255, 12), read(0x08), write(0x64, 1), RESTORE, wait(255, 12))
    yield "dma", device(store(0x1000, b"hello" * 13), dma, write(0x98, 1, 3), wait(255, 14), dma, write(0x98, 7, 3), RESTORE, wait(255, 14))


def blk_request(kind, sector, data, length=512):
    head = words(kind, 0) + le(sector, 8)
    at = [(0x1000, 16, 0)]
    at += [(0x2000, length, 1)] if kind in (0, 8) else [(0x2000, len(data), 0)] if data else []
    return store(0x1000, head) + store(0x2000, data) + add(0, *at, (0x5000, 1, 1)) + kick(0) + wait(255, 12)


def virtio():
    reads = [(0, 8, b""), (1, 8, b"x" * 510), (4, 0, b""), (8, 0, b""), (11, 0, le(8, 8) + words(8, 0)), (13, 0, le(8, 8) + words(16, 1))]
    for kind, sector, data in reads:
        length = 20 if kind == 8 else 4096
        yield "virtio_blk", f"type-{kind}", device(blk_request(kind, sector, data, length), RESTORE, blk_request(0, 8, b"", 1024))
    frame = b"\0" * 12 + b"\xff" * 6 + b"\x52\x54\0\x12\x34\x56\x08\x06" + b"\0" * 46
    yield "virtio_net", "send", device(store(0x1000, frame), add(1, (0x1000, len(frame), 0)), kick(1), wait(200, 12), RESTORE)
    yield "virtio_net", "receive", device(add(0, (0x1000, 1600, 1)), kick(0), receive(frame[12:]), wait(200, 14), RESTORE, receive(frame[12:]), add(0, (0x1000, 100, 1), (0x2000, 1600, 1)), kick(0), wait(200, 14))
    ready = b"".join(request(3, words(port) + le(event, 2) + le(1, 2), 0) for port, event in [(0, 0), (0, 3), (0, 6), (1, 3), (1, 6)])
    rooms = b"".join(add(queue, (0x4000 + 0x1000 * queue, 64, 1)) + kick(queue) for queue in (0, 2, 4))
    said = b"".join(receive(data) for data in (b"\0keys", b"\1bytes", b"\2\x50\0\x19\0", b"\3\1"))
    yield "virtio_console", "ports", device(ready, rooms, said, wait(200, 14), RESTORE, request(1, b"hello\n", 0), request(5, b"channel", 0), said, wait(200, 14))
    yield "virtio_rng", "numbers", device(add(0, (0x1000, 64, 1)), kick(0), wait(200, 12), RESTORE, add(0, (0x1000, 4, 1), (0x2000, 4096, 1)), kick(0), wait(200, 14))
    event = le(1, 2) + le(30, 2) + words(1)
    yield "virtio_input", "events", device(b"".join(add(0, (0x1000 + 8 * n, 8, 1)) for n in range(8)), kick(0), receive(le(3, 2) + le(0, 2) + words(100) + b"\0" * 8), receive(event), wait(100, 12), RESTORE, request(1, le(0x11, 2) + le(1, 2) + words(1), 0))
    yield "virtio_input", "facts", device(b"".join(write(0x2000, select | sub << 8, 1) + read(0x2002, 0) + read(0x2008, 3) for select, sub in [(1, 0), (3, 0), (0x10, 0), (0x11, 1), (0x11, 3), (0x12, 0)]))
    yield from virtio_gpu()
    yield from virtio_iommu()
    yield from virtio_fs()


def virtio_gpu():
    def command(kind, *body, flags=0, room=408):
        return request(0, words(kind, flags) + le(3, 8) + words(0, 0) + words(*body), room)

    create, attach = command(0x101, 1, 2, 16, 16), command(0x106, 1, 2, 0x6000, 0, 0x200, 0, 0x8000, 0, 0x200, 0)
    show = command(0x103, 0, 0, 16, 16, 0, 1) + command(0x105, 0, 0, 16, 16, 0, 0, 1, 0) + command(0x104, 0, 0, 16, 16, 1, 0, flags=1)
    yield "virtio_gpu", "info", device(command(0x100), command(0x10A, 0, 0, room=1056), RESTORE, command(0x10A, 1, 0, room=1056))
    yield "virtio_gpu", "picture", device(create, attach, show, RESTORE, show, command(0x107, 1, 0), command(0x102, 1, 0))
    blob = command(0x10C, 2, 1, 1, 1, 0, 0, 0x400, 0, 0x6000, 0, 0x400, 0)
    yield "virtio_gpu", "blob", device(blob, command(0x10D, 0, 0, 16, 16, 1, 2, 16, 16, 2, 0, 64, 0, 0, 0, 0, 0, 0, 0), RESTORE, command(0x104, 0, 0, 16, 16, 2, 0))
    cursor = request(1, words(0x300, 0, 0, 0, 0, 0, 0, 5, 6, 0, 1, 1, 1, 0), 0) + request(1, words(0x301, 0, 0, 0, 0, 0, 1, 5, 6, 0, 1, 1, 1, 0), 0)
    large = command(0x101, 1, 1, 64, 64) + attach
    yield "virtio_gpu", "cursor", device(large, cursor, RESTORE, cursor)


def virtio_iommu():
    def ask(*body, room=4):
        return request(0, b"".join(body), room)

    attach = ask(words(1, 1, 0x10), words(0, 0))
    mapped = ask(words(3, 1), le(0x1000, 8), le(0x2FFF, 8), le(0x8000, 8), words(3))
    unmap = ask(words(4, 1), le(0x1000, 8), le(0x2FFF, 8), words(0))
    probe = ask(words(5, 0x10), b"\0" * 64, room=516)
    yield "virtio_iommu", "map", device(attach, mapped, RESTORE, probe, mapped, unmap, ask(words(2, 1, 0x10), words(0, 0)))
    yield "virtio_iommu", "faults", device(add(1, (0x4000, 24, 1)), kick(1), attach, mapped, unmap)


def virtio_fs():
    def ask(opcode, node, body, room=4096):
        return request(1, words(40 + len(body), opcode) + le(9, 8) + le(node, 8) + b"\0" * 16 + body, room)

    begin = ask(26, 0, words(7, 38, 0x2_0000, 0xFFFF_FFFF) + b"\0" * 48)
    look = b"".join(ask(1, 1, name + b"\0") for name in (b"file", b"a", b"link", b"..", b"nothing"))
    io = lambda handle, offset, size: le(handle, 8) + le(offset, 8) + words(size, 0, 0, 0, 0, 0)
    yield "virtio_fs", "read", device(begin, look, ask(14, 2, words(0, 0)), ask(15, 2, io(1, 0, 64)), ask(3, 2, b"\0" * 16), ask(18, 2, io(1, 0, 0)), RESTORE, ask(5, 4, b""))
    yield "virtio_fs", "folders", device(begin, look, ask(27, 1, words(0, 0)), ask(28, 1, io(1, 0, 512)), ask(44, 1, io(1, 0, 1024)), ask(29, 1, io(1, 0, 0)), ask(17, 1, b""))
    made = ask(35, 1, words(0o102, 0o644, 0, 0) + b"new\0") + ask(9, 1, words(0o755, 0) + b"folder\0") + ask(6, 1, b"points\0file\0")
    moved = ask(12, 1, le(1, 8) + b"new\0newer\0") + ask(45, 1, le(3, 8) + words(1, 0) + b"newer\0other\0") + ask(13, 1, le(2, 8) + b"hard\0")
    yield "virtio_fs", "write", device(begin, made, ask(16, 2, io(1, 3, 5) + b"bytes"), ask(4, 2, b"\0" * 88), ask(43, 2, le(1, 8) + le(0, 8) + le(99, 8) + words(0, 0)), ask(20, 2, le(1, 8) + words(0, 0)), RESTORE)
    yield "virtio_fs", "names", device(begin, look, made, moved, ask(10, 1, b"hard\0"), ask(11, 1, b"folder\0"), ask(2, 2, le(1, 8), 0), ask(8, 1, words(0o100644, 0, 0, 0) + b"node\0"))


# Buses and parts.


def parts():
    table = sg((0x4000, 0x100), (0x2000, 0x80), (0x8000, 0x1000))
    yield "sg", "three", le(3, 2) + bytes([3]) + words(0x90) + le(0x100, 2) + words(0) + le(0x8200, 2) + words(0x1100) + le(0xFF, 2) + table
    put = lambda at, data: bytes([3]) + le(at >> 1, 2) + bytes([len(data)]) + data
    register = lambda offset, value, wide=False: bytes([0x80 if wide else 0]) + le(offset, 2) + le(value, 8 if wide else 4)
    want = lambda rid, iova, length, write=False: bytes([0x45 if write else 5, rid]) + le(iova, 8) + le(length - 1, 2)
    tables = [(0x1000, 0x2001), (0x2080, 0x3001), (0x2088, 7 << 8 | 2), (0x3000, 0x4003), (0x4000, 0x6003), (0x6000, 0x7003), (0x7028, 0x9003)]
    on = b"".join(put(at, le(value, 8)) for at, value in tables) + register(0x20, 0x1000, True) + register(0x18, 1 << 30)
    on += register(0x3C, 0x4021) + register(0x40, 0xFEE0_0000) + register(0x38, 0) + register(0x18, 1 << 31)
    asked = want(8, 0x5010, 8) + want(8, 0x5FFC, 8, True) + want(8, 1 << 50, 1) + want(9, 0, 1) + register(0x34, 0xFF) + bytes([0x82]) + le(0x220, 2)
    queue = register(0x90, 0x8000, True) + register(0x18, 1 << 31 | 1 << 26)
    commands = [(0x01 | 1 << 4, 0), (0x02 | 2 << 4 | 7 << 16, 0x5000), (0x04, 0), (0x05 | 0x20 | 5 << 32, 0xA000), (0x0F, 0)]
    queue += put(0x8000, b"".join(le(low, 8) + le(high, 8) for low, high in commands)) + register(0x88, len(commands) << 4, True)
    yield "iommu", "faults", bytes([0]) + on + asked
    yield "iommu", "queue", bytes([0]) + on + queue + asked
    interrupts = register(0xB8, 0xA000 | 7, True) + register(0x18, 1 << 24) + register(0x18, 1 << 25)
    yield "iommu", "interrupts", bytes([1]) + on + interrupts + queue
    config = lambda slot, at, value, width=2: bytes([width << 4 | 0x40, slot]) + le(at, 2) + le(value, 1 << width)
    look = lambda slot, at, width=2: bytes([width << 4, slot]) + le(at, 2)
    memory = lambda at, value: bytes([0x66]) + le((at - 0xC000_0000) // 4, 2) + words(value)
    awake = b"".join(config(slot, 0x10 + 4 * bar, 0xFFFF_FFFF) + look(slot, 0x10 + 4 * bar) for slot in (1, 2, 3) for bar in range(3))
    awake += config(1, 0x10, 0xC000_0000) + config(1, 0x18, 0xC000_1000) + config(1, 4, 7, 1) + config(1, 0x52, 0x8000, 1)
    toy = memory(0xC000_1008, 5) + memory(0xC000_100C, 0) + memory(0xC000_000C, 0) + memory(0xC000_0000, 0x100) + memory(0xC000_0008, 9) + memory(0xC000_0010, 99) + bytes([13, 200, 0])
    yield "pci", "config", awake + toy + b"".join(look(slot, at) for slot in range(6) for at in range(0, 0x60, 12))
    ports = bytes([0x64, 0]) + words(0x8000_0810) + bytes([0x64, 4]) + words(0xFFFF_FFFF) + bytes([0x24, 4])
    yield "pci", "ports", ports + bytes([15]) + config(4, 4, 7, 1) + config(4, 0x10, 0xC001) + bytes([0xE6, 0, 0]) + words(7)
    msix = lambda what, vector, value: bytes([what | vector << 4]) + words(value)
    entries = b"".join(msix(0, n, 0xFEE0_0000) + msix(2, n, 0x40 + n) + msix(3, n, 0) for n in range(3))
    yield "msix", "sent", msix(6, 0, 4) + msix(5, 0, 0x8000) + entries + b"".join(msix(7, n, 0) for n in range(3))
    yield "msix", "held", msix(5, 0, 0xC000) + entries + msix(7, 0, 0) + msix(7, 1, 0) + msix(3, 1, 1) + msix(6, 0, 4) + msix(5, 0, 0x8000) + msix(3, 1, 0)
    out = b"".join(bytes([register << 4, value]) for register, value in [(3, 0x83), (0, 1), (1, 0), (3, 3), (2, 7), (4, 0xB), (1, 0xF), (0, 0x41)])
    yield "serial", "both-ways", out + bytes([10, 0x61, 0x56, 0x26, 13, 0x56, 6, 15, 11, 9, 10]) + bytes([4 << 4, 0x1B, 0, 5, 6])
    descriptor = le(0x1000, 8) + words(64) + le(2, 2) + le(0, 2)
    offered = le(0, 2) + le(1, 2) + le(0, 2)
    yield "virtio_queue", "one", bytes([0, 0, 1, 0]) + le(0, 2) + bytes([16]) + descriptor + bytes([0x43]) + le(0, 2) + bytes([6]) + offered
    indirect = le(0x2000, 8) + words(32) + le(4, 2) + le(0, 2)
    inner = le(0x1000, 8) + words(64) + le(3, 2) + le(1, 2) + le(0x1800, 8) + words(8) + le(2, 2) + le(0, 2)
    yield "virtio_queue", "indirect", bytes([1, 0, 1, 0x80]) + le(0x2000, 2) + bytes([32]) + inner + bytes([0]) + le(0, 2) + bytes([16]) + indirect + bytes([0x47]) + le(0, 2) + bytes([6]) + offered
    mmio = lambda place, offset, value, width=2: bytes([width << 4, place]) + le(offset, 2) + le(value, 1 << width)
    port = lambda number, value, width=0: bytes([6 | width << 4]) + le(number, 2) + le(value, 1 << width)
    wake = b"".join(mmio(4 + (slot - 1 << 6) % 256, 4, 6, 1) for slot in range(1, 4))
    trace = b"".join(port(0x610, value) for value in (1, 0, 0, 0, 4, 0, 0, 0, 97, 98, 99, 100))
    ends = port(0x3F8, 65) + port(0xF8, 3) + port(0x600, 0x34) + port(0xCF8, 0x8000_0804, 2) + port(0xCFC, 7, 1) + port(0x70, 4) + bytes([9]) + le(0x71, 2)
    yield "machine", "mmio", wake + mmio(0, 0x100, 0x1000) + mmio(0, 0x114, 1) + bytes([0x3A, 0, 1, 16]) + b"\6" + b"\0" * 15 + mmio(0, 0x110, 1) + bytes([0xFE, 255])
    yield "machine", "ports", trace + ends + mmio(5, 0, 0x10) + mmio(5, 0x10, 0x30) + mmio(7, 0x30, 0) + bytes([0xFE, 200])


# The CPU: fuzz/src/cpu/mod.rs.

LOOP = bytes.fromhex("b90a000000" "83c003" "894424f8" "e2f7")  # mov ecx, 10; add eax, 3; mov [rsp - 8], eax; loop
PROGRAMS = {
    "loop": LOOP,
    "string": bytes.fromhex("b910000000" "f3a4" "b904000000" "f3ab" "fc" "f2ae"),
    "flags": bytes.fromhex("01d8" "11d8" "19c3" "d1e0" "c1e803" "0fafc3" "f7f3" "9c" "58" "0f94c0" "0fc8"),
    "sse": bytes.fromhex("0f58c1" "660fefc0" "0f28c8" "0f5ec8" "660f6fc1" "660ffdc1" "f20f58c2" "0fc6c11b"),
    "x87": bytes.fromhex("d9e8" "d9eb" "dec9" "d9fa" "dd1c24" "dbe3" "9b"),
    "self": bytes.fromhex("c6050100000090" "90" "c60500000000f4" "eb00"),
    "system": bytes.fromhex("0f20c0" "0f22c0" "0f20d8" "0f22d8" "0f01f8" "0fa2" "0f31" "0f32" "fa" "fb" "f4"),
    "ports": bytes.fromhex("e4f0" "e6f1" "ec" "ef" "66ed"),
    "calls": bytes.fromhex("e805000000" "cd80" "cc" "eb04" "50" "58" "c3" "9c" "9d" "cf"),
    "segments": bytes.fromhex("8cd8" "8ed8" "0f00d8" "0f01e0" "8cc8" "1e" "1f" "0fa1"),
    "outside": bytes.fromhex("bb00001000" "ffe3"),  # mov ebx, 0x100000; jmp rbx: beyond RAM
    "atomic": bytes.fromhex("f00fc107" "f00fb107" "8707" "0fae3f" "0fae37" "f0480fc70f"),
}


def cpu():
    for mode in range(8):
        for name, code in PROGRAMS.items():
            yield f"{name}-{mode}", bytes([mode]) + le(0x1B1B, 2) + bytes([1, 0, 0]) + code
    trap = bytes([0]) + le(0, 2) + bytes([1, 1, 16]) + le(0x302, 8) + bytes([0])
    yield "trap-flag", trap + LOOP
    breakpoint = bytes([0]) + le(0, 2) + bytes([1, 2, 45]) + le(0x1_0005, 8) + bytes([49]) + le(0x403, 8) + bytes([0])
    yield "breakpoint", breakpoint + LOOP
    not_there = bytes([0]) + le(0, 2) + bytes([1, 0, 1]) + le(0x4100, 3) + bytes([8]) + b"\0" * 8
    yield "page-fault", not_there + bytes.fromhex("8b0425" "00000200" "890425" "00000200")


def from_runs(fencepost):
    """The state of a snapshot and the frames of a trace, of a guest that has the GPU write a fence and the camera drop frames."""
    # mov eax, base; mov dword [rax + offset], value
    poke = lambda base, offset, value: b"\xb8" + words(base) + b"\xc7\x80" + words(offset, value)
    pokes = [(0xE000_8000, 4, 6), (0xE001_0000, 4, 6), (0xE001_8000, 4, 6), (0x10_1000, 0, 6), (0x10_1000, 8, 7)]
    pokes += [(0xC000_0000, offset, value) for offset, value in [(0x100, 0x10_1000), (0x108, 2), (0x120, 0x10_1800), (0x114, 1), (0x110, 1)]]
    pokes += [(0xC000_2000, offset, value) for offset, value in [(0x98, 0x10_1000), (0xA0, 0x10_1400), (0xA8, 4), (0xC0, 1)]]
    # mov ecx, 20000; loop; mov al, 15; out 0xf8, al; xor eax, eax; out 0xf4, al
    code = b"".join(poke(*it) for it in pokes) + bytes.fromhex("b9204e0000" "e2fe" "b00f" "e6f8" "31c0" "e6f4")
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        with open(at("kernel"), "wb") as file:
            file.write(elf(code))
        for kinds in ([], ["edu", "virtio-rng"]):
            command = [fencepost, "run", "--kernel", at("kernel"), "--accel", "soft", "--memory", "16M", "--snapshot", at("snapshot"), "--snapshot-at", "5us", "--timeout", "20"]
            command += ["--trace", at("trace"), "--trace-categories", "all"] + [word for kind in kinds for word in ("--device", kind)]
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            with open(at("snapshot"), "rb") as file:
                head = file.read(4096)
                length = int.from_bytes(head[24:32], "little")
                file.seek(-length, os.SEEK_END)
                yield "snapshot", "-".join(["machine"] + kinds), file.read()
            with open(at("trace"), "rb") as file:
                trace, frames = file.read(), b"\0"
            place = 12
            while place < len(trace):
                kind, length = trace[place], int.from_bytes(trace[place + 1 : place + 5], "little")
                frames += bytes([kind]) + le(length, 2) + trace[place + 9 : place + 9 + length]
                place += 9 + length
            yield "trace_file", "-".join(["run"] + kinds), frames


def all_of(name, seeds):
    return ((name, seed, data) for seed, data in seeds)


def main():
    folder, fencepost = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    found = [*files(), *parts(), *virtio(), *all_of("gpu", gpu()), *all_of("camera", camera()), *all_of("display", display())]
    found += [*all_of("edu", edu()), ("pvpanic", "events", device(read(0, 0), write(0, 1, 0), write(0, 2, 0), RESTORE, write(0, 4, 0)))]
    found += [*all_of("cpu", cpu()), *all_of("translator", cpu())]
    found += from_runs(fencepost) if fencepost else []
    for target, name, data in found:
        os.makedirs(os.path.join(folder, target), exist_ok=True)
        with open(os.path.join(folder, target, f"seed-{name}"), "wb") as file:
            file.write(data)
    print(f"{len(found)} inputs, {sum(len(data) for *_, data in found)} bytes")


if __name__ == "__main__":
    main()
