"""Checks the crates that the workspace and the fuzz targets are built from: their licences, that none is there in two versions, and that
each of the workspace's has been looked at: docs/dependencies.md has a row for it in this version, which says what its unsafe code does, if
it has any.

    ci/dependencies.py [METADATA]

Works offline, on crates that cargo has already fetched for this platform. METADATA is what `cargo metadata` printed; without
it, cargo is asked. Exits with status 1 and one line for each finding. Its own examples are run first.
"""

import collections
import doctest
import json
import os
import re
import subprocess
import sys

LICENCES = {
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",  # Grants more than Apache-2.0 does.
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "0BSD",
    "NCSA",  # libFuzzer, which only the fuzz targets have: as BSD-3-Clause.
}

# Crates under MPL-2.0 that may be used, with the reason. It is a licence by file: their sources must stay as they are.
MPL = {}

# Crates in two incompatible versions, with the reason: who still needs the older one.
TWICE = {
    "bitflags": "vmm-sys-util 0.15 needs 1",
    "embedded-io": "postcard 1.1 has both 0.4 and 0.6 as its interfaces",
    "miniz_oxide": "png 0.18 needs 0.8, flate2 1.1 needs 0.9",
    "syn": "zerocopy-derive 0.8 and prost-derive 0.14 need 2, serde_derive 1 and clap_derive 4 need 3",
}


def satisfied(expression, licences):
    """Whether an SPDX licence expression (SPDX 2.3, annex D) can be met with `licences` alone. AND binds before OR.

    >>> satisfied("GPL-3.0-only OR MIT", LICENCES), satisfied("GPL-3.0-only AND MIT", LICENCES)
    (True, False)
    >>> satisfied("(MIT OR GPL-2.0-only) AND Unicode-3.0", LICENCES), satisfied("MIT/Apache-2.0", LICENCES)
    (True, True)
    >>> satisfied("MIT OR MIT AND GPL-2.0-only", LICENCES), satisfied("MIT WITH some-exception", LICENCES)
    (True, False)
    >>> satisfied("MPL-2.0", LICENCES), satisfied(None, LICENCES), satisfied("", LICENCES)
    (False, False, False)
    """
    # Old crates write "/" for OR. An exception belongs to its licence.
    words = re.findall(r"[()]|[^\s()]+(?:\s+WITH\s+[^\s()]+)?", (expression or "").replace("/", " OR "))
    words = [" ".join(word.split()) for word in words]

    def one():
        word = words.pop(0) if words else ""
        if word != "(":
            return word in licences
        inner = either()
        return words[:1] == [")"] and bool(words.pop(0)) and inner

    def both():
        value = one()
        while words[:1] == ["AND"]:
            words.pop(0)
            value = one() and value
        return value

    def either():
        value = both()
        while words[:1] == ["OR"]:
            words.pop(0)
            value = both() or value
        return value

    value = either()
    return value and not words


def line(version):
    """What Cargo takes as compatible: the leading number that is not zero, with what comes before it.

    >>> line("1.2.3"), line("0.8.9"), line("0.0.3"), line("2.0.0-rc.1+x")
    ('1', '0.8', '0.0.3', '2')
    """
    numbers = re.split(r"[-+]", version)[0].split(".")
    first = next((i for i, number in enumerate(numbers) if number != "0"), len(numbers) - 1)
    return ".".join(numbers[: first + 1])


def findings(packages, mpl, twice):
    """What is wrong with `packages`, a list as `cargo metadata` has it; an exception that nothing needs is wrong, too.

    >>> crate = lambda name, version, licence: {"name": name, "version": version, "license": licence}
    >>> findings([crate("a", "1.0.0", "MIT"), crate("a", "1.1.0", "MIT")], {}, {})
    []
    >>> findings([crate("a", "0.1.0", "MIT"), crate("a", "0.2.0", "GPL-3.0-only")], {}, {})
    ['a 0.2.0: licence GPL-3.0-only', 'a: versions 0.1 and 0.2']
    >>> findings([crate("a", "0.1.0", "MIT"), crate("a", "0.2.0", "MIT")], {}, {"a": "why", "b": "why"})
    ['b: listed in TWICE, but not there in two versions']
    >>> findings([crate("a", "1.0.0", "MPL-2.0"), crate("b", "1.0.0", "MPL-2.0")], {"a": "why", "c": "why"}, {})
    ['b 1.0.0: licence MPL-2.0', 'c: listed in MPL, but not there']
    """
    found, lines = [], collections.defaultdict(set)
    for package in packages:
        name = package["name"]
        lines[name].add(line(package["version"]))
        if not satisfied(package["license"], LICENCES | ({"MPL-2.0"} if name in mpl else set())):
            found.append(f"{name} {package['version']}: licence {package['license'] or 'not given'}")
    several = {name: versions for name, versions in lines.items() if len(versions) > 1}
    found += [f"{name}: versions {' and '.join(sorted(several[name]))}" for name in sorted(several) if name not in twice]
    found += [f"{name}: listed in TWICE, but not there in two versions" for name in sorted(twice) if name not in several]
    found += [f"{name}: listed in MPL, but not there" for name in sorted(mpl) if name not in lines]
    return found


def unsafe_code(folder):
    """Whether Rust sources in a crate's src/ or its build script have unsafe code; comments do not count, nor does what forbids it."""
    files = [os.path.join(where, name) for where, _, names in os.walk(os.path.join(folder, "src")) for name in names]
    for file in files + [os.path.join(folder, "build.rs")]:
        if file.endswith(".rs") and os.path.exists(file):
            with open(file, encoding="utf-8") as source:
                if is_unsafe(source.read()):
                    return True
    return False


def is_unsafe(text):
    """
    >>> is_unsafe("unsafe { *p }"), is_unsafe("pub unsafe fn f()"), is_unsafe("#[unsafe(no_mangle)]"), is_unsafe("unsafe impl Send for S {}")
    (True, True, True, True)
    >>> is_unsafe("// unsafe { *p }"), is_unsafe("/* unsafe fn */"), is_unsafe("forbid(unsafe_code)"), is_unsafe("feature = 'unsafe'")
    (False, False, False, False)
    """
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.search(r"\bunsafe\s*(?:[{(]|(?:async\s+)?fn\b|impl\b|trait\b|extern\b)", code) is not None


def rows(page):
    """The rows of the page's table: name, version, and the cells behind them.

    >>> rows("| crate | version | for |\\n| a | 1.0.0 | x |")
    {('a', '1.0.0'): ['x']}
    """
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    return {(name, version): rest for name, version, *rest in cells if re.match(r"\d", version)}


def unseen(packages, table, is_unsafe_crate):
    """What the table of docs/dependencies.md lacks of `packages`, or has besides.

    >>> crate = {"name": "a", "version": "1.1.0", "license": "MIT", "source": "registry", "manifest_path": "a/Cargo.toml"}
    >>> table = {("a", "1.1.0"): ["reads", "MIT", "someone/a", "none"]}
    >>> unseen([crate], table, lambda folder: False), unseen([crate], table, lambda folder: folder == "a")
    ([], ['a 1.1.0: has unsafe code, and its row says none'])
    >>> unseen([dict(crate, license="ISC")], {("a", "1.0.0"): ["reads", "MIT", "someone/a", "a pointer"]}, lambda folder: False)
    ['a 1.1.0: no row', 'a 1.0.0: a row, but not there in this version']
    >>> unseen([crate], {("a", "1.1.0"): ["reads", "ISC", "someone/a", "a pointer"]}, lambda folder: False)
    ['a 1.1.0: licence MIT, and its row says ISC', 'a 1.1.0: has no unsafe code, and its row says that it has']
    """
    crates = {(package["name"], package["version"]): package for package in packages if package["source"]}
    found = [f"{name} {version}: no row" for name, version in sorted(crates) if (name, version) not in table]
    found += [f"{name} {version}: a row, but not there in this version" for name, version in sorted(table) if (name, version) not in crates]
    for key in sorted(set(crates) & set(table)):
        package, (_, licence, _, note) = crates[key], table[key]
        if licence != package["license"]:
            found.append(f"{' '.join(key)}: licence {package['license']}, and its row says {licence}")
        code, said = is_unsafe_crate(os.path.dirname(package["manifest_path"])), note != "none"
        if code and not said:
            found.append(f"{' '.join(key)}: has unsafe code, and its row says none")
        if said and not code:
            found.append(f"{' '.join(key)}: has no unsafe code, and its row says that it has")
    return found


# The workspace, and the one of the fuzz targets, which has versions of its own.
WORKSPACES = [".", "fuzz"]


def metadata(workspace):
    """All that a workspace is built from on this platform."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", workspace)
    command = ["cargo", "metadata", "--offline", "--locked", "--format-version", "1"]
    command += ["--filter-platform", "x86_64-unknown-linux-gnu"]
    return subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout


def main():
    if doctest.testmod().failed:
        sys.exit("the examples in ci/dependencies.py do not hold")
    if len(sys.argv) > 1:
        with open(sys.argv[1], "rb") as file:
            texts = [file.read()]
    else:
        texts = map(metadata, WORKSPACES)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../docs/dependencies.md"), encoding="utf-8") as page:
        table = rows(page.read())
    bad = False
    for nth, text in enumerate(texts):
        packages = json.loads(text)["packages"]
        found = findings(packages, MPL, TWICE)
        if nth == 0:
            found += [f"docs/dependencies.md: {line}" for line in unseen(packages, table, unsafe_code)]
        for finding in found:
            print(finding)
        print(f"{len(packages)} crates, {len(found)} findings")
        bad |= bool(found)
    sys.exit(bad)


if __name__ == "__main__":
    main()
