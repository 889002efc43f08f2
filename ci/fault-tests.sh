# What the drivers do at faults of their hardware (docs/faults.md), sourced by ci/guest-tests.sh: each kind with the drivers, and with
# those that were built without their recovery code.
# ci/test sets `logs`, and ci/lib.sh the paths.
# shellcheck shell=bash disable=SC2154

# fault_scenarios NAME [OPTION...]: leaves $logs/NAME.json, and of all scenarios what they left in $logs/NAME.
fault_scenarios() {
    local name=$1
    shift
    GUEST_PROGRAMS=$GUEST/programs "$FENCEPOST" test "$ROOT/guest-tests/scenarios/faults" --keep --results "$logs/$name" \
        --json "$logs/$name.json" "$@" >&2
}
say "scenarios: faults"
fault_scenarios faults || true
lines_of "$ROOT/ci/scenario-results.py" "$logs/faults.json"

# Faults by chance are the seed's alone: the same run to the byte of its trace, and another one with another seed.
fault_seeds() {
    local turn
    for turn in 7 7-again 8; do
        fault_scenarios "faults-$turn" --filter seeded --seed "${turn%-again}" || return 1
        "$FENCEPOST" trace convert "$logs/faults-$turn/seeded/trace.fptrace" --to jsonl -o "$logs/faults-$turn.jsonl" || return 1
        [ "$(grep -c '"Fault"' "$logs/faults-$turn.jsonl")" -gt 3 ] || return 1
    done
    cmp "$logs"/faults-{7,7-again}/seeded/trace.fptrace && ! cmp -s "$logs"/faults-{7,8}/seeded/trace.fptrace
}
check "determinism: faults by chance" fault_seeds
