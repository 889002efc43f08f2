#!/usr/bin/env python3
"""Looks at what `fencepost test` has left, with nothing but Python's own readers. Prints a line for each check, `ok WHAT: ...` or
`not ok WHAT: ...`; exit status 1 if one is not ok.

    scenario-check.py verdicts REPORT FOLDER      each scenario of FOLDER ended as its first line says
    scenario-check.py reports JSON JUNIT KTAP     the three tell the same
    scenario-check.py equal ONE OTHER             two folders of results of the same seed, to the byte
    scenario-check.py differ ONE OTHER NAME...    these files of each scenario differ, the outcomes do not
    scenario-check.py annotations OUTPUT JSON     GitHub's lines name each failure's file and line"""

import json
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

FAILED = False


def say(good, what, how=""):
    global FAILED
    FAILED |= not good
    print(f"{'ok' if good else 'not ok'} {what}: {how}")


def told(outcome):
    """All that a report says of what went wrong."""
    parts = [[it["at"], it["expected"], it["came"], *it["output"]] for it in outcome["failures"]]
    return "\n".join(word for part in parts for word in part)


def verdicts(report, folder):
    suite = json.loads(pathlib.Path(report).read_text())
    of_file = {}
    for outcome in suite["outcomes"]:
        of_file.setdefault(pathlib.Path(outcome["file"]).name, []).append(outcome)
    for path in sorted(pathlib.Path(folder).glob("*.toml")):
        verdict, _, words = path.read_text().splitlines()[0].lstrip("# ").partition(": ")
        outcomes = of_file.pop(path.name, [])
        say(bool(outcomes), f"scenario {path.stem}", f"{len(outcomes)} runs")
        for outcome in outcomes:
            wrong = wrong_with(outcome, verdict, words)
            say(not wrong, f"scenario {outcome['name']}", wrong or verdict)
    say(not of_file, "scenarios", f"of no file: {sorted(of_file)}" if of_file else "each has its file")


def wrong_with(outcome, verdict, words):
    if outcome["verdict"] != verdict:
        return f"{outcome['verdict']}, not {verdict}: {told(outcome)[:300]}"
    if words not in told(outcome):
        return f"nothing says '{words}': {told(outcome)[:300]}"
    shown = "\n".join(outcome["console"] + [line for it in outcome["failures"] for line in it["output"]])
    if re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown):
        return "a control character is shown"
    if any(len(it["came"]) > 300 or "\n" in it["came"] for it in outcome["failures"]):
        return "a reason is longer than a line"
    if verdict in ("failed", "broken") and f"--filter '={outcome['name']}'" not in outcome["reproduce"]:
        return f"it cannot be run again: {outcome['reproduce']}"
    if verdict == "failed":
        folder = pathlib.Path(outcome["evidence"] or "nowhere")
        missing = [name for name in ("console.txt", "output.txt") if not (folder / name).is_file()]
        if missing:
            return f"no {missing} in {folder}"
    return ""


def reports(report, junit, ktap):
    outcomes = json.loads(pathlib.Path(report).read_text())["outcomes"]
    count = {verdict: sum(it["verdict"] == verdict for it in outcomes) for verdict in ("passed", "failed", "broken", "skipped")}
    root = xml.parse(junit).getroot()
    suites = [root] if root.tag == "testsuite" else list(root.iter("testsuite"))
    cases = [case for case in root.iter("testcase")]
    kinds = {"failed": "failure", "broken": "error", "skipped": "skipped"}
    for verdict, tag in kinds.items():
        found = sum(case.find(tag) is not None for case in cases)
        least = count[verdict]
        say(found >= least and (found > 0) == (least > 0), f"junit {tag}", f"{found} cases for {least} scenarios")
    for attribute, tag in (("tests", None), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        said = sum(int(suite.get(attribute, 0)) for suite in suites)
        found = len(cases) if tag is None else sum(case.find(tag) is not None for case in cases)
        say(said == found, f"junit {attribute}", f"{said} said, {found} there")
    lines = pathlib.Path(ktap).read_text().splitlines()
    results = [line for line in lines if re.match(r"(not )?ok \d+ ", line)]
    numbers = [int(line.replace("not ok", "ok").split()[1]) for line in results]
    plan = [line for line in lines if re.fullmatch(r"1\.\.\d+", line)]
    say(lines[0] == "KTAP version 1" and plan == [f"1..{len(outcomes)}"], "ktap plan", f"{plan}")
    say(numbers == list(range(1, len(outcomes) + 1)), "ktap numbers", f"{len(numbers)} results")
    bad = sum(line.startswith("not ok") for line in results)
    say(bad == count["failed"] + count["broken"], "ktap verdicts", f"{bad} not ok")


def files_of(folder):
    """The evidence, but for the machine at the failure, which has the names of the host's folders in it."""
    top = pathlib.Path(folder)
    files = (path for path in top.rglob("*") if path.is_file() and path.suffix not in (".json", ".snapshot"))
    return {str(path.relative_to(top)): path.read_bytes() for path in files}


def outcomes_of(folder):
    """The report without what is the host's: times, and where the files are."""
    suite = json.loads(pathlib.Path(folder, "report.json").read_text())
    for outcome in suite["outcomes"]:
        for key in ("wall_ms", "evidence", "reproduce", "seed"):
            del outcome[key]
    return suite["outcomes"]


def equal(one, other):
    first, second = files_of(one), files_of(other)
    say(first.keys() == second.keys() and len(first) >= 3, "the same files", f"{len(first)}")
    different = [name for name in first if first[name] != second.get(name)]
    say(not different, "the same bytes", f"{different or sum(map(len, first.values()))}")
    say(outcomes_of(one) == outcomes_of(other), "the same outcomes", f"{len(outcomes_of(one))}")


def differ(one, other, *names):
    first, second = files_of(one), files_of(other)
    for path in sorted(first):
        if pathlib.Path(path).name in names:
            say(first[path] != second.get(path), f"another seed, {path}", f"{len(first[path])} bytes")
    verdicts_of = lambda folder: [(it["name"], it["verdict"]) for it in outcomes_of(folder)]
    say(verdicts_of(one) == verdicts_of(other), "another seed, the verdicts", "the same")


def annotations(output, report):
    said = re.findall(r"^::error (.*?)::(.*)$", pathlib.Path(output).read_text(), re.M)
    properties = [dict(pair.split("=", 1) for pair in one.split(",")) for one, _ in said]
    for outcome in json.loads(pathlib.Path(report).read_text())["outcomes"]:
        for failure in outcome["failures"] if outcome["verdict"] in ("failed", "broken") else []:
            found = any(it.get("file") == outcome["file"] and it.get("line") == str(failure["line"] or 1) for it in properties)
            say(found, f"annotation of {outcome['name']}", f"line {failure['line']}")


def main():
    command, *arguments = sys.argv[1:]
    {"verdicts": verdicts, "reports": reports, "equal": equal, "differ": differ, "annotations": annotations}[command](*arguments)
    sys.exit(FAILED)


main()
