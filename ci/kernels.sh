# What ci/kernel and ci/debug-kernel share; sourced by them after ci/lib.sh.
# shellcheck shell=bash

# Downloads packages; apt checks each one against the archive's signed hashes, also when it is there already.
download() {
    mkdir -p "$CACHE/download"
    # As root apt would hand the download to a user of its own, who may not write here.
    (cd "$CACHE/download" && apt-get -q -o APT::Sandbox::User=root download "$@" >&2)
}

renew_package_lists() {
    say "renewing the package lists"
    as_root apt-get update -q >&2
}

version_of() { apt-cache show --no-all-versions "$1" | awk '$1 == "Version:" {print $2; exit}'; }

# The file that apt made for a package: its version's colon is written %3a.
deb_of() {
    local version deb
    version=$(version_of "$1")
    deb=$CACHE/download/$1_${version//:/%3a}
    if [ -e "${deb}_amd64.deb" ]; then echo "${deb}_amd64.deb"; else echo "${deb}_all.deb"; fi
}

# Makes an unpacked tree the kernel of this release, and what $KERNEL leads to: `use_kernel TREE RELEASE`.
use_kernel() {
    local tree=$1 release=$2 folder=$CACHE/kernel-$2
    ln -s "boot/vmlinuz-$release" "$tree/vmlinuz"
    ln -s "lib/modules/$release" "$tree/modules"
    ln -s "usr/src/linux-headers-$release" "$tree/headers"
    echo "$release" >"$tree/version"
    sync -f "$tree"
    chmod 755 "$tree"
    rm -rf "$folder"
    mv "$tree" "$folder"
    lead_to "$release"
}

# Has $KERNEL lead to the folder of this release.
lead_to() {
    ln -sfn "kernel-$1" "$KERNEL.new"
    mv -T "$KERNEL.new" "$KERNEL"
    say "kernel $1 is in $KERNEL"
}
