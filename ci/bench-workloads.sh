# `ci/bench --workloads`, sourced by ci/bench: programs in a guest of `soft` and in one of QEMU's TCG, beside each other.
# shellcheck shell=bash

# Builds what is missing and runs ci/workloads.py, which takes the same arguments: `workloads [NAME...] [--OPTION...] [-- OPTION...]`.
workloads() {
    local program=$GUEST/workloads/workloads
    # What is wrong in the arguments is said before anything is built.
    make --silent -C "$ROOT/guest-tests/workloads" "OUT=${program%/*}"
    "$ROOT/ci/workloads.py" --program "$program" --check "$@"
    "$ROOT/ci/setup" --bench
    "$ROOT/ci/guest"
    case " $* " in
    *" --fencepost "*) ;;
    *) "$ROOT/ci/release" --quiet --bin fencepost ;;
    esac
    say "workloads, on soft and TCG in turns"
    "$ROOT/ci/workloads.py" --program "$program" --fencepost "$FENCEPOST" --kernel "$KERNEL/vmlinuz" \
        --initrd "$GUEST/initrd-workloads" --qemu qemu-system-x86_64 "$@"
}
