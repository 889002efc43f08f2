# The tests of `fencepost test` itself, sourced by ci/guest-tests.sh: scenarios that go wrong in every way, and hosts that lack something.
# shellcheck shell=bash disable=SC2154,SC2153

harness=$ROOT/guest-tests/scenarios/harness
scenario_logs=$logs/harness
mkdir "$scenario_logs"

# Runs scenarios of the harness's folder whose names have NAME in them; `wrong NAME,... STATUS [OPTION...]`.
wrong() {
    local filters=() name expected=$2 status=0
    for name in ${1//,/ }; do filters+=(--filter "$name"); done
    shift 2
    [[ " $* " == *' --results '* ]] || set -- --results "$scenario_logs/results" "$@"
    "$FENCEPOST" test "$harness" "${filters[@]}" "$@" </dev/null >"$scenario_logs/said" 2>&1 || status=$?
    cat "$scenario_logs/said"
    [ "$status" = "$expected" ] || { echo "status $status, not $expected"; return 1; }
}

# Whether what was said last has just one line with this, which is no longer than a line.
one_line() {
    [ "$(grep -cF -- "$1" "$scenario_logs/said")" = 1 ] && [ -z "$(awk 'length > 300' "$scenario_logs/said")" ]
}

say "scenarios that go wrong"
harness_reports=("$scenario_logs/report.json" "$scenario_logs/report.xml" "$scenario_logs/report.ktap")
check "scenarios: the whole folder ends with the harness's status" wrong "" 3 --json "${harness_reports[0]}" \
    --junit "${harness_reports[1]}" --ktap "${harness_reports[2]}"
lines_of "$ROOT/ci/scenario-check.py" verdicts "${harness_reports[0]}" "$harness"
lines_of "$ROOT/ci/scenario-check.py" reports "${harness_reports[@]}"

# The same seed twice: every byte of console, output and trace; with another seed what is drawn is another.
#   seeded NAME SEED
seeded() {
    mkdir "$scenario_logs/$1"
    wrong seeded 1 --keep --seed "$2" --results "$scenario_logs/$1" --json "$scenario_logs/$1/report.json"
}
check "scenarios: a seed" seeded seed 7
check "scenarios: the same seed" seeded again 7
check "scenarios: another seed" seeded other 8
lines_of "$ROOT/ci/scenario-check.py" equal "$scenario_logs/seed" "$scenario_logs/again"
lines_of "$ROOT/ci/scenario-check.py" differ "$scenario_logs/seed" "$scenario_logs/other" output.txt trace.fptrace

selection() {
    "$FENCEPOST" test "$harness" --list >"$scenario_logs/all" || return 1
    "$FENCEPOST" test "$harness" --list --filter 'hang[6.1]' --filter known >"$scenario_logs/some" || return 1
    [ "$(wc -l <"$scenario_logs/all")" -gt 30 ] && [ "$(cut -d' ' -f1 "$scenario_logs/some" | tr '\n' ' ')" = "hang[6.1] known " ] || return 1
    [ "$("$FENCEPOST" test "$harness/status.toml" --list --repeat 12 --filter '=status#1' | cut -d' ' -f1)" = 'status#1' ] || return 1
    wrong status 1 --repeat 3 --seed 1 --json "$scenario_logs/repeat.json" || return 1
    [ "$(grep -oE '"name": ?"status#[0-9]+"|"seed": ?[0-9]+' "$scenario_logs/repeat.json" | tr -d ' ' | tr '\n' ' ')" = \
        '"name":"status#1" "seed":1 "name":"status#2" "seed":2 "name":"status#3" "seed":3 ' ] || return 1
    wrong no-such-name 2 && one_line "--filter no-such-name"
}
check "scenarios: --list, --filter and --repeat" selection

# Four parts as four processes, whose reports are those of the whole.
parts() {
    local part running=() status=0
    for part in 1 2 3 4; do
        "$FENCEPOST" test "$harness" --filter power-off --filter output --filter known --filter skipped --filter status --filter no-end \
            --jobs 1 --shard "$part/4" --results "$scenario_logs/parts" --json "$scenario_logs/part-$part.json" \
            </dev/null >"$scenario_logs/part-$part" 2>&1 &
        running+=($!)
    done
    for part in "${running[@]}"; do wait "$part" || [ $? = 1 ] || status=1; done
    [ "$status" = 0 ] || { cat "$scenario_logs"/part-?; return 1; }
    GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY=$scenario_logs/summary.md "$FENCEPOST" test merge "$scenario_logs"/part-?.json \
        --json "$scenario_logs/merged.json" >"$scenario_logs/annotations" || status=$?
    [ "$status" = 1 ] && grep -q '^## fencepost test' "$scenario_logs/summary.md"
}
# What is no part of it is refused, with its name: `refused TEXT REPORT...`.
refused() {
    local text=$1 status=0
    shift
    "$FENCEPOST" test merge "$@" >"$scenario_logs/said" 2>&1 || status=$?
    cat "$scenario_logs/said"
    [ "$status" = 2 ] && one_line "$text"
}
check "scenarios: four parts as four processes, and their reports joined" parts
lines_of "$ROOT/ci/scenario-check.py" annotations "$scenario_logs/annotations" "$scenario_logs/merged.json"
check "scenarios: a missing part is refused" refused "part 3 of 4 is missing" "$scenario_logs"/part-[124].json
check "scenarios: a part that is there twice is refused" refused "name each part once" "$scenario_logs"/part-?.json "$scenario_logs/part-4.json"
check "scenarios: the report of a whole suite is refused" refused "is not of a part" "$scenario_logs"/part-?.json "$scenario_logs/repeat.json"
foreign() {
    wrong known 1 --shard 1/4 --json "$scenario_logs/foreign.json" || wrong known 0 --shard 1/4 --json "$scenario_logs/foreign.json" || return 1
    refused "of other scenarios" "$scenario_logs"/part-[234].json "$scenario_logs/foreign.json"
}
check "scenarios: a foreign part is refused" foreign

# Hosts that lack something: each is one line that names it, and nothing else is lost.
full_disk() {
    local mounted=$scenario_logs/small status=0
    mkdir "$mounted"
    as_root mount -t tmpfs -o size=3m,mode=1777 none "$mounted" || return 1
    # The machine at a failure does not fit, all else does: one after the other, as it takes the room while it is written.
    wrong "status,pass[6.12]" 1 --jobs 1 --keep --results "$mounted/results" --json "$mounted/report.json" &&
        one_line "passed  pass[6.12] (" && one_line "FAILED  status (" || status=1
    # The flood does not fit, nor does the report after it. What was kept before stays.
    wrong flood-output 3 --keep --results "$mounted/results" --json "$mounted/report.json" &&
        one_line "BROKEN  flood-output (" && one_line "report.json: No space left" && [ -s "$mounted/results/status/output.txt" ] || status=1
    head -c 1M /dev/zero >"$mounted/full" 2>/dev/null
    FENCEPOST_CACHE=$mounted/cache wrong pass[6.12] 3 && grep -q "No space left on device; make room" "$scenario_logs/said" || status=1
    as_root umount "$mounted"
    return "$status"
}
without_network() {
    as_root unshare --net env "FENCEPOST_CACHE=$scenario_logs/empty" "http_proxy=http://127.0.0.1:9" \
        "$FENCEPOST" test "$harness/status.toml" --results "$scenario_logs/results" >"$scenario_logs/said" 2>&1
    [ $? = 3 ] && cat "$scenario_logs/said" && one_line "came"
}
# Scenarios run under soft: nothing of them needs KVM, and who asks for it is told so.
without_kvm() {
    # They are the inner shell's to expand.
    # shellcheck disable=SC2016
    as_root unshare --mount sh -c '[ ! -e /dev/kvm ] || mount --bind /dev/null /dev/kvm; shift; exec "$@"' -- - \
        "$FENCEPOST" test "$harness" --filter 'pass[6.12]' --results "$scenario_logs/results" >"$scenario_logs/said" 2>&1 ||
        { cat "$scenario_logs/said"; return 1; }
    printf '[scenario]\n[machine]\naccel = "kvm"\n[[step]]\nrun = "true"\n' >"$scenario_logs/kvm.toml"
    local status=0
    "$FENCEPOST" test "$scenario_logs/kvm.toml" >"$scenario_logs/said" 2>&1 || status=$?
    cat "$scenario_logs/said"
    [ "$status" = 2 ] && one_line "kvm.toml:3: scenarios run under soft"
}
check "scenarios: a full disk of the host's" full_disk
check "scenarios: no network and an empty cache" without_network
check "scenarios: no /dev/kvm" without_kvm

# A command in a machine that runs.
executed() {
    local socket=$scenario_logs/agent image running status=0
    image=$(find "$CACHE/roots" -name '*.img' -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-)
    "$FENCEPOST" run --root "$image" --agent "$socket" --accel soft --memory 256M --timeout 300 </dev/null >"$scenario_logs/run" 2>&1 &
    running=$!
    until [ -S "$socket" ]; do kill -0 "$running" || return 1; sleep 0.05; done
    # The guest's shell is to work it out.
    # shellcheck disable=SC2016
    "$FENCEPOST" exec "$socket" 'echo $((6 * 7)); exit 9' >"$scenario_logs/exec" 2>&1 || status=$?
    cat "$scenario_logs/exec"
    [ "$status" = 9 ] && [ "$(cat "$scenario_logs/exec")" = 42 ] || return 1
    "$FENCEPOST" exec "$socket" 'poweroff -f' || true
    wait "$running"
}
check "scenarios: exec in a running machine" executed

mkdir "$scenario_logs/signals"
lines_of "$ROOT/ci/scenario-signals.py" "$FENCEPOST" "$harness" "$CACHE" "$scenario_logs/signals"
lines_of "$ROOT/ci/recipes-test" "$scenario_logs/recipes"
