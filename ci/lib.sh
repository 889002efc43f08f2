# Shared by the scripts in this folder; sourced, not run.
# shellcheck shell=bash
# The scripts that source this use its variables.
# shellcheck disable=SC2034

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Everything that is downloaded or unpacked goes here, and nowhere else.
CACHE=${FENCEPOST_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set; set it or FENCEPOST_CACHE}/.cache}/fencepost}
# The kernel in use: vmlinuz, modules/, headers/ (see ci/kernel).
KERNEL=$CACHE/kernel
# What is built for the guest (see ci/guest).
GUEST=${CARGO_TARGET_DIR:-$ROOT/target}/guest
# Debian keeps depmod and modinfo where an ordinary user's PATH does not look.
export PATH=$PATH:/usr/sbin:/sbin

# Where the time goes: minutes since the script began, of those that another script of this folder runs since that one did.
export CI_BEGAN=${CI_BEGAN:-$EPOCHSECONDS}
say() { printf '== %3d min  %s\n' "$(((EPOCHSECONDS - CI_BEGAN) / 60))" "$*" >&2; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Runs a command as root.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "must be root, or have sudo, to run: $*"
    fi
}

# Holds the named lock until the script ends, so that two runs do not build the same thing at once.
hold_lock() {
    mkdir -p "$CACHE"
    exec {lock}>"$CACHE/$1.lock"
    flock -n "$lock" || {
        say "waiting for another $1"
        flock "$lock"
    }
}

# The fencepost command as ci/test, ci/demo and ci/bench build it.
FENCEPOST=${CARGO_TARGET_DIR:-$ROOT/target}/release/fencepost
# Sets the compiler's flags of that build. Cargo keeps what is built with others apart, and builds all anew.
release_flags() {
    local target=${CARGO_TARGET_DIR:-$ROOT/target} pair flags
    # The last that fits counts. Encoded, because a path may have spaces in it; options that the environment has come first.
    flags=${CARGO_ENCODED_RUSTFLAGS:-${RUSTFLAGS:+${RUSTFLAGS// /$'\x1f'}}}
    for pair in "$ROOT=/fencepost" "$(realpath -m "$target")=/fencepost/target" "${CARGO_HOME:-$HOME/.cargo}=/cargo"; do
        flags+=${flags:+$'\x1f'}--remap-path-prefix=$pair
    done
    export CARGO_ENCODED_RUSTFLAGS=$flags
}
# The kernel command line of every guest: docs/boot.md says what each part saves, and what it costs.
GUEST_COMMAND_LINE="console=ttyS0 quiet panic=-1 intel_iommu=on rodata=off cryptomgr.notests initcall_blacklist=\
jent_mod_init,load_system_certificate_list,bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init,trace_eval_init,mcheck_init_device"
