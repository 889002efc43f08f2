#!/usr/bin/env python3
"""Each thing that a suite of scenarios looked at, in a line: `ok`, `not ok` or `skipped:`, for ci/test to count.

    ci/scenario-results.py REPORT.json
"""

import json
import sys

WORDS = {"passed": "ok", "failed": "not ok", "skipped": "skipped:"}

with open(sys.argv[1], encoding="utf-8") as report:
    for outcome in json.load(report)["outcomes"]:
        name = outcome["name"]
        checks = outcome["checks"]
        for check in checks:
            word, why = WORDS[check["verdict"]], check["message"]
            # What a scenario allows is as it should be.
            if word == "skipped:" and ": allowed: " in check["name"]:
                word, why = "ok", ""
            print(f"{word} {name}: {check['name']}" + (f" ({why})" if why else ""))
        bad = [check for check in checks if check["verdict"] == "failed"]
        if outcome["verdict"] == "skipped":
            print(f"skipped: {name}")
        elif outcome["verdict"] != "passed" and not bad or not checks:
            print(f"not ok {name}: {outcome['verdict']}")
