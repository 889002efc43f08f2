# What the drivers do at faults of their hardware (docs/faults.md), sourced by ci/guest-tests.sh: each kind with the drivers, and with
# those that were built without their recovery code.
# ci/test sets `logs`, and ci/lib.sh the paths.
# shellcheck shell=bash disable=SC2154

scenarios faults "$ROOT/guest-tests/scenarios/faults"

# Faults by chance are the seed's alone: the same run to the byte of its trace, and another one with another seed.
fault_seeds() {
    local turn
    for turn in 7 7-again 8; do
        run_scenarios "faults-$turn" "$ROOT/guest-tests/scenarios/faults/seeded.toml" --seed "${turn%-again}" || return 1
        "$FENCEPOST" trace convert "$logs/faults-$turn/seeded/trace.fptrace" --to jsonl -o "$logs/faults-$turn.jsonl" || return 1
        [ "$(grep -c '"Fault"' "$logs/faults-$turn.jsonl")" -gt 3 ] || return 1
    done
    cmp "$logs"/faults-{7,7-again}/seeded/trace.fptrace && ! cmp -s "$logs"/faults-{7,8}/seeded/trace.fptrace
}
check "determinism: faults by chance" fault_seeds
