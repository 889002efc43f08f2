"""Runs a guest with a VNC server and looks at it with a VNC client that is not Fencepost's: asyncvnc.

  view-vnc.py FOLDER EVENTS SCRIPT COLUMNS COMMAND...     COMMAND is `fencepost run` with a shell on the console, which runs SCRIPT

The client's pictures must be pictures that `--frames` wrote, and beside them COLUMNS columns of a second screen, whose bytes are the letter Z. A wrong
password must be refused. "a" is typed and the middle of the picture clicked when the
guest has said "ready for input" on its console, and the guest must then say what each line of EVENTS, a regular expression, matches. FOLDER gets the
frames and what the guest said. Prints one line of what was seen; the exit status is 1, and the line says what is wrong, if something is.
"""

import asyncio
import pathlib
import re
import signal
import subprocess
import sys
import zlib

import asyncvnc

from pictures import png

LIMIT_S = 240
PICTURES = 3
# The first screen's; those of others have their names in them.
FIRST = "flip-[0-9]*.png"
SECOND = "flip-virtio-gpu@6-*.png"


def crc_of_file(path):
    """CRC of a PNG's pixels as XRGB8888 words."""
    width, height, at = png(path)
    words = bytearray()
    for y in range(height):
        for x in range(width):
            words += bytes((*reversed(at(x, y)), 0))
    return zlib.crc32(words)


def xrgb(rgba):
    """The words of what the client gives: an array of rows of RGBA."""
    words = rgba[:, :, [2, 1, 0, 3]].copy()
    words[:, :, 3] = 0
    return words.tobytes()


async def line_of(guest, said, pattern):
    while not (found := re.search(pattern, said.decode())):
        chunk = await guest.stderr.read(4096)
        if not chunk:
            sys.exit(f"wrong: the guest ended: {said.decode()}")
        said += chunk
    return found


async def keep(stream, said):
    while chunk := await stream.read(4096):
        said += chunk


async def until_said(said, pattern):
    while not re.search(pattern, said.decode(errors="replace")):
        await asyncio.sleep(0.05)


def check_second(picture):
    """Whether most of a screen is the letter Z: the kernel's console may have its cursor there."""
    letters = (picture[:, :, :3] == ord("Z")).mean()
    if letters < 0.9:
        sys.exit(f"wrong: of the second screen {letters:.0%} is what was written there")


async def look(host, port, password, said, events, columns):
    """The CRCs of pictures on the first screen that are not black; then types and clicks."""
    seen = set()
    async with asyncvnc.connect(host, port, password=password) as client:
        while len(seen) < PICTURES:
            both = await client.screenshot()
            picture = both[:, : both.shape[1] - columns]
            if picture[:, :, :3].any():
                seen.add(zlib.crc32(xrgb(picture)))
                check_second(both[:, both.shape[1] - columns :])
        await until_said(said, "ready for input")
        client.keyboard.press("a")
        client.mouse.move(client.video.width // 2, client.video.height // 2)
        client.mouse.click()
        for event in events.splitlines():
            await until_said(said, event)
    return seen


async def refused(host, port):
    try:
        async with asyncvnc.connect(host, port, password="wrong") as _:
            return False
    except PermissionError:
        return True


async def main(folder, events, script, columns, *command):
    frames = pathlib.Path(folder, "frames")
    frames.mkdir(parents=True, exist_ok=True)
    pipe = subprocess.PIPE
    guest = await asyncio.create_subprocess_exec(
        *command, "--vnc", "--frames", str(frames), stdin=pipe, stdout=pipe, stderr=pipe
    )
    said = bytearray()
    try:
        guest.stdin.write(f"{script}\n".encode())
        found = await line_of(guest, said, r"vnc: ([0-9.]+):(\d+), password (\S+)\n")
        host, port, password = found[1], int(found[2]), found[3]
        readers = [asyncio.create_task(keep(stream, said)) for stream in (guest.stdout, guest.stderr)]
        if not await refused(host, port):
            sys.exit("wrong: a wrong password is taken")
        # This client cannot follow the screen to another size: it comes when both screens have shown something.
        while not (any(frames.glob(FIRST)) and any(frames.glob(SECOND))):
            await asyncio.sleep(0.05)
        seen = await look(host, port, password, said, events, int(columns))
        guest.send_signal(signal.SIGTERM)
        status = await guest.wait()
        await asyncio.gather(*readers)
    finally:
        if guest.returncode is None:
            guest.kill()
        pathlib.Path(folder, "guest.log").write_bytes(said)
    if status != 143:
        sys.exit(f"wrong: the guest ended with {status}")
    files = {crc_of_file(path) for path in frames.glob(FIRST)}
    if strange := seen - files:
        sys.exit(f"wrong: pictures that no file has: {sorted(map(hex, strange))}")
    print(f"{len(seen)} pictures, as in {len(files)} files, a second screen beside them; a wrong password is refused, a key and a click reached the guest")


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), LIMIT_S))
