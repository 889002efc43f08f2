"""Reads PNGs, without a package."""

import struct
import zlib


def png(path):
    """Width, height, and the colour at a place, of an 8-bit RGB or RGBA PNG (the PNG specification, sections 5, 9 and 11)."""
    with open(path, "rb") as file:
        raw = file.read()
    at, chunks, header = 8, [], None
    while at < len(raw):
        length, kind = struct.unpack(">I4s", raw[at : at + 8])
        body = raw[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        if kind == b"IDAT":
            chunks.append(body)
        at += length + 12
    width, height, depth, colour, _, _, interlace = header
    if depth != 8 or colour not in (2, 6) or interlace != 0:
        raise ValueError(f"{path}: not 8-bit RGB or RGBA without interlace")
    size = 3 if colour == 2 else 4
    data, rows, before = zlib.decompress(b"".join(chunks)), [], bytes(width * size)
    for row in range(height):
        start = row * (width * size + 1)
        rows.append(before := unfilter(data[start], data[start + 1 : start + 1 + width * size], before, size))
    return width, height, lambda x, y: tuple(rows[y][x * size : x * size + 3])


def unfilter(kind, line, before, size):
    line = bytearray(line)
    for at in range(len(line)) if kind else ():
        left, up = line[at - size] if at >= size else 0, before[at]
        corner = before[at - size] if at >= size else 0
        line[at] = (line[at] + (left, up, (left + up) // 2, paeth(left, up, corner))[kind - 1]) & 255
    return bytes(line)


def paeth(left, up, corner):
    guess = left + up - corner
    return min((left, up, corner), key=lambda one: abs(guess - one))
