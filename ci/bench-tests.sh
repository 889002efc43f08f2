# `ci/bench --test`, sourced by ci/bench: what a scenario costs, started from a snapshot and booted each time.
# shellcheck shell=bash disable=SC2154

# Scenarios of one kind in a folder: `make_scenarios FOLDER COUNT COMMAND`.
make_scenarios() {
    local n
    mkdir -p "$1"
    for ((n = 1; n <= $2; n++)); do
        printf '[scenario]\n[[step]]\nrun = "%s"\n' "$3" >"$1/number-$n.toml"
    done
}

# Runs a folder of scenarios, all of which pass; says the seconds, the command's and the scenarios' own: `timed_scenarios WHAT FOLDER [OPTION...]`.
timed_scenarios() {
    local what=$1 folder=$2
    shift 2
    "$FENCEPOST" test "$folder" --json "$folder/report" --results "$folder/results" "$@" </dev/null >"$folder/said" 2>&1 || {
        cat "$folder/said" >&2
        die "$what: a scenario failed"
    }
    printf '%s: %s\n' "$what" "$(python3 - "$folder/report" <<'EOF'
import json, statistics, sys
suite = json.load(open(sys.argv[1]))
wall = sorted(it["wall_ms"] for it in suite["outcomes"])
guest = statistics.median(it["guest_ns"] for it in suite["outcomes"])
print(f"{suite['wall_ms'] / 1e3:.2f} s for {len(wall)}; each {statistics.median(wall)} ms, at most {wall[-1]}, "
      f"with {guest / 1e9:.3f} s of the guest's time")
EOF
    )"
}

# The milliseconds that all scenarios of a report took, one after the other.
milliseconds() {
    python3 -c 'import json, sys; print(sum(it["wall_ms"] for it in json.load(open(sys.argv[1]))["outcomes"]))' "$1/report"
}

test_cost() {
    local folder turns each alone line
    folder=$(mktemp -d)
    # From the scenario's start to its end, the first line of which came before.
    line="echo the first line"
    make_scenarios "$folder/line" 20 "$line"
    timed_scenarios "first boot, and 20 scenarios of one line, one at a time" "$folder/line" --jobs 1
    timed_scenarios "20 scenarios of one line, one at a time" "$folder/line" --jobs 1
    each=$(($(milliseconds "$folder/line") / 20))
    timed_scenarios "the same, booted each time" "$folder/line" --jobs 1 --boot-each
    # As much work as one second of this host's takes, when nothing else runs.
    turns=20000
    work() { echo "n=0; while [ \$n -lt $1 ]; do n=\$((n + 1)); done"; }
    make_scenarios "$folder/one" 1 "$(work "$turns")"
    timed_scenarios "$turns turns of a shell's loop" "$folder/one"
    alone=$(($(milliseconds "$folder/one") - each))
    turns=$((turns * 1000 / alone))
    make_scenarios "$folder/fifty" 50 "$(work "$turns")"
    timed_scenarios "50 scenarios of one second's work on $(nproc) processors" "$folder/fifty"
    timed_scenarios "the same, booted each time" "$folder/fifty" --boot-each
    rm -rf "$folder"
}
