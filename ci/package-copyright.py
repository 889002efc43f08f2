"""Writes the copyright file of the Debian package (DEP 5) to standard output: Fencepost's own, and what is linked into its command.

    ci/package-copyright.py

Asks cargo, offline, for the crates that the command is linked with. Where a crate gives a choice, Apache-2.0 is taken, whose text
every Debian has; of all others the crate's own text is quoted.
"""

import glob
import json
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import dependencies

HEADER = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: fencepost
Comment: The command is one program. The crates below are linked into it; their sources are those that Cargo.lock names.

Files: *
Copyright: 2026 The Fencepost authors
License: Apache-2.0 or Expat

Files: rust-std/*
Copyright: The Rust Project contributors
License: Apache-2.0
Comment: The Rust standard library, linked into the command.

Files: trace-agent/glibc/*
Copyright: The Free Software Foundation, Inc. and others
License: LGPL-2.1+
Comment: The command carries a static program for its guests, which is linked with Debian's GNU C library.
"""

EXPAT = "Expat"
COMMON = {"Apache-2.0": "Apache-2.0", "LGPL-2.1+": "LGPL-2.1"}


def chosen(expression):
    """The fewest licences that meet an SPDX expression, Apache-2.0 first.

    >>> chosen("MIT OR Apache-2.0"), chosen("MIT"), chosen("Unlicense OR MIT")
    (['Apache-2.0'], ['MIT'], ['MIT'])
    >>> chosen("Apache-2.0 AND BSD-3-Clause"), chosen("BSD-3-Clause AND (MIT OR Apache-2.0)")
    (['Apache-2.0', 'BSD-3-Clause'], ['Apache-2.0', 'BSD-3-Clause'])
    """
    words = set(re.findall(r"[A-Za-z0-9.-]+(?: WITH [A-Za-z-]+)?", expression.replace("/", " "))) - {"OR", "AND"}
    order = sorted(words, key=lambda word: (word != "Apache-2.0", word != "MIT", word))
    taken = list(order)
    # Those that nobody prefers go first, as long as the rest will do.
    for word in reversed(order):
        rest = [other for other in taken if other != word]
        if dependencies.satisfied(expression, set(rest)):
            taken = rest
    return taken


def linked(metadata):
    """The packages that the command is linked with: not what only builds or tests need, and no macros."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    todo = [identity for identity, package in packages.items() if package["name"] == "fencepost"]
    seen = set()
    while todo:
        identity = todo.pop()
        kinds = {kind for target in packages[identity]["targets"] for kind in target["kind"]}
        if identity in seen or "proc-macro" in kinds:
            continue
        seen.add(identity)
        normal = lambda dep: any(kind["kind"] is None for kind in dep["dep_kinds"])
        todo += [dep["pkg"] for dep in nodes[identity]["deps"] if normal(dep)]
    crates = [packages[identity] for identity in seen if packages[identity]["source"]]
    return sorted(crates, key=lambda package: (package["name"], package["version"]))


def texts(package, licences):
    """The crate's files about its licences; and of them those to quote: all but Apache's, or only notices where no other text is needed."""
    folder = os.path.dirname(package["manifest_path"])
    names = sorted(name for name in os.listdir(folder) if re.match(r"(?i)(licen[sc]e|copying|copyright|notice|unlicense)", name))
    files = [name for name in names if os.path.isfile(os.path.join(folder, name))]
    inner = [os.path.relpath(path, folder) for path in sorted(glob.glob(os.path.join(folder, "LICENSES", "*")))]
    found = {name: open(os.path.join(folder, name), encoding="utf-8").read().replace("\r", "") for name in files + inner}
    apache = lambda text: "Apache License" in text and "TERMS AND CONDITIONS" in text
    wanted = {name: text for name, text in found.items() if not apache(text)}
    if set(licences) <= {"Apache-2.0", "MIT"}:
        wanted = {name: text for name, text in wanted.items() if name.upper().startswith("NOTICE")}
    return found, wanted


def holders(package, found):
    """Who the crate's files say holds its copyright; or else its authors."""
    lines = [line.lstrip(" *#/").rstrip() for text in found.values() for line in text.splitlines()]
    real = re.compile(r"(?i)^(portions? )?copyright\b.*(\d{4}|\(c\)|©|authors|contributors|developers)")
    said = [line for line in lines if real.match(line) and "[yyyy]" not in line and "{yyyy}" not in line]
    said = [re.sub(r"(?i)^copyright:? *(\(c\) *|© *)?", "", line) for line in said]
    return list(dict.fromkeys(said)) or package["authors"] or [f"the authors of {package['name']}"]


def quoted(text):
    """Continuation lines of a field."""
    return "".join(f" {line.rstrip() or '.'}\n" for line in text.strip().splitlines())


def stanza(package):
    licences = chosen(package["license"])
    found, wanted = texts(package, licences)
    name = f"{package['name']}-{package['version']}"
    short = " and ".join(EXPAT if licence == "MIT" else licence for licence in licences)
    text = f"\nFiles: crates/{name}/*\nCopyright: " + "\n           ".join(holders(package, found)) + f"\nLicense: {short}\n"
    if set(licences) <= {"Apache-2.0", "MIT"}:
        notices = "".join(wanted.values())
        return text + (f"Comment: Its notice:\n{quoted(notices)}" if notices.strip() else "")
    if not wanted:
        raise SystemExit(f"{name}: licence {package['license']}, and no file of the crate has its text; add it to {__file__}")
    return text.replace(f"License: {short}\n", f"License: {short}\n{quoted(chr(10).join(wanted.values()))}")


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    out = [HEADER]
    out += [stanza(package) for package in linked(json.loads(dependencies.metadata(".")))]
    expat = open("../LICENSE-MIT", encoding="utf-8").read().partition("\n\n")[2].partition("\n\n")[2]
    out.append(f"\nLicense: {EXPAT}\n{quoted(expat)}")
    for licence, file in COMMON.items():
        out.append(f"\nLicense: {licence}\n On Debian systems the text of this licence is in /usr/share/common-licenses/{file}.\n")
    sys.stdout.write("".join(out))


if __name__ == "__main__":
    import doctest

    if doctest.testmod().failed:
        sys.exit("the examples in ci/package-copyright.py do not hold")
    main()
