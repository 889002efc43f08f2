# The commands of docs/guide-driver.md, run as they stand there; sourced by ci/guest-tests.sh, whose functions it uses.
# shellcheck shell=bash disable=SC2154

guide=$logs/guide
mkdir -p "$guide/at" "$guide/blocks" "$guide/.cargo"
# Cargo finds this for what is made in the folder: compiled crates stay from one run to the next.
printf '[build]\ntarget-dir = "%s"\n' "${CARGO_TARGET_DIR:-$ROOT/target}/guide" >"$guide/.cargo/config.toml"
# Each block of commands into a file, whose first line is its heading.
awk -v to="$guide/blocks/" '
    /^#/ && !on { heading = $0 }
    /^```sh$/ { on = 1; file = sprintf("%s%02d", to, ++count); print heading > file; next }
    /^```$/ { on = 0 }
    on { print > file }' "$ROOT/docs/guide-driver.md"
printf '%s\n' "$guide/at" >"$guide/folder"

# Runs a block in the folder where the one before it ended.
guide_block() {
    (
        cd "$(cat "$guide/folder")" || exit
        export CLONE=$ROOT FENCEPOST_CACHE=$CACHE CARGO_INSTALL_ROOT=$guide/home PATH=$guide/home/bin:$PATH
        # What is installed is what ci/test has built.
        case $1 in
        */01)
            export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}
            release_flags
            ;;
        *) unset CARGO_TARGET_DIR ;;
        esac
        # The shell that runs the block takes these names, and not this one.
        # shellcheck disable=SC2016
        bash -euxo pipefail -c 'trap "pwd >\"$2\"" EXIT; . "$1"' guide "$1" "$guide/folder"
    )
}

for block in "$guide"/blocks/*; do
    check "guide: $(sed -n '1s/^#* //p' "$block"), $(basename "$block")" guide_block "$block"
done
check "guide: there were commands" test -e "$guide/blocks/08"
# What is written is formatted as Rust's own tool does it.
check "guide: the crate is formatted" cargo fmt --check --manifest-path "$guide/at/my-sensor/Cargo.toml"
