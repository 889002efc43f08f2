# The Debian package, installed in a clean root of Debian's essential packages; sourced by ci/guest-tests.sh, whose functions it uses.
# shellcheck shell=bash disable=SC2154,SC2016

clean=$logs/clean-root

# Debian's essential packages and what the package depends on, kept in the cache: made by mmdebstrap of the host's package sources.
clean_root() {
    local kept=$CACHE/clean-root.tar sources
    if [ ! -e "$kept" ]; then
        mapfile -t sources < <(find /etc/apt/sources.list /etc/apt/sources.list.d -name '*.sources' -o -name '*.list' 2>/dev/null | sort)
        as_root mmdebstrap --quiet --variant=essential --include=libgcc-s1 bookworm - "${sources[@]}" >"$kept.part" || return 1
        mv "$kept.part" "$kept"
    fi
    mkdir "$clean" && as_root tar -x --numeric-owner --exclude './dev/*' -C "$clean" -f "$kept"
}

# In the clean root, with its own processes and /proc: `inside [--user] COMMAND ARGUMENT...`; as nobody with --user.
inside() {
    local who=()
    [ "$1" != --user ] || { who=(setpriv --reuid=65534 --regid=65534 --clear-groups); shift; }
    as_root env -i HOME=/tmp LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin unshare --mount --pid --fork --kill-child sh -c '
        cd "$1" && mount -t proc proc proc && mount --rbind /dev dev && shift && exec chroot . "$@"' sh "$clean" "${who[@]}" "$@"
}
# All that is there, but for dpkg's own notes.
files_inside() { as_root find "$clean" -xdev -path "$clean/var/lib/dpkg" -prune -o -path "$clean/var/log" -prune -o -print | sort; }

package_installs() {
    files_inside >"$logs/before"
    as_root cp "$logs"/package/fencepost_*_amd64.deb "$clean/tmp/fencepost.deb" || return 1
    inside dpkg -i /tmp/fencepost.deb && inside dpkg -V fencepost && inside dpkg --audit || return 1
    as_root rm "$clean/tmp/fencepost.deb"
    [ "$(inside fencepost --version)" = "fencepost $(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")" ]
}

# The commands that the help lists, but for help itself.
commands() { inside fencepost --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | grep -v '^help$'; }

# Each command has its page, which the host's man formats without a warning.
package_pages() {
    local name page
    commands >"$logs/commands"
    [ "$(wc -l <"$logs/commands")" -ge 9 ] || { cat "$logs/commands"; return 1; }
    while read -r name; do
        page=$clean/usr/share/man/man1/fencepost${name:+-$name}.1.gz
        MANWIDTH=80 man --warnings -l "$page" >"$logs/page" 2>"$logs/warned" || return 1
        if ! grep -q "^NAME" "$logs/page" || ! grep -q "^OPTIONS" "$logs/page" || [ -s "$logs/warned" ]; then
            cat "$logs/page" "$logs/warned"
            return 1
        fi
    done < <(echo && cat "$logs/commands")
}

# What bash offers for the last of these words.
completed() {
    inside bash -c '. /usr/share/bash-completion/completions/fencepost
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        "$(complete -p fencepost | sed "s/.*-F \([^ ]*\) .*/\1/")" fencepost "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}
package_completions() {
    echo "$(completed fencepost tra) $(completed fencepost run --kern) $(completed fencepost trace conv)" >"$logs/completed"
    cat "$logs/completed"
    grep -qx 'trace --kernel convert' "$logs/completed" || return 1
    inside cat /usr/share/zsh/vendor-completions/_fencepost | head -n 1 | grep -qx '#compdef fencepost' &&
        inside cat /usr/share/fish/vendor_completions.d/fencepost.fish | grep -q '^complete -c fencepost'
}

# Linux to a power-off of its init's, by a user without rights.
package_runs() {
    local status=0
    as_root install -m 644 "$KERNEL/vmlinuz" "$GUEST/initrd-boot" "$clean/tmp" || return 1
    inside --user fencepost run --kernel /tmp/vmlinuz --initrd /tmp/initrd-boot --accel soft --memory 128M --timeout 300 \
        --append "$GUEST_COMMAND_LINE" --trace /tmp/trace || status=$?
    echo "status $status"
    [ "$status" = 0 ] && inside --user fencepost trace report /tmp/trace
}

# Every other command does its work there or says in one line what it lacks: `says STATUS TEXT COMMAND...`.
says() {
    local wanted=$1 text=$2 status=0
    shift 2
    inside --user "$@" >"$logs/said" 2>&1 </dev/null || status=$?
    cat "$logs/said"
    [ "$status" = "$wanted" ] && grep -qF -- "$text" "$logs/said"
}
package_commands() {
    says 0 "no kernel" sh -c 'fencepost doctor || [ $? -ge 10 ]; echo "no kernel"' &&
        says 0 "/tmp" fencepost cache && says 0 "" fencepost new scenario /tmp/mine && says 0 mine fencepost test /tmp/mine --list &&
        says 2 "apt" fencepost root --packages bash -o /tmp/root.img && says 0 _fencepost fencepost completions bash &&
        says 2 "--kernel" fencepost demo && says 2 "" fencepost exec /tmp/none true && says 0 "" ls /usr/share/doc/fencepost/docs/scenarios.md
}

package_goes() {
    inside dpkg --remove fencepost && inside dpkg --purge fencepost || return 1
    as_root find "$clean/tmp" -mindepth 1 -delete
    files_inside >"$logs/after"
    diff "$logs/before" "$logs/after"
}

check "package: built" "$ROOT/ci/package" "$logs/package"
if command -v lintian >/dev/null; then
    check "package: lintian" lintian --no-cfg --allow-root --fail-on error "$logs"/package/*.deb
else
    skipped+=("package: lintian (it is not installed)")
fi
if command -v mmdebstrap >/dev/null; then
    check "package: a clean root" clean_root
    check "package: installs, and its files are what it says" package_installs
    check "package: each command has a manual page" package_pages
    check "package: bash completes commands and options" package_completions
    check "package: Linux runs" package_runs
    check "package: every command works, or says what it lacks" package_commands
    check "package: removed and purged, nothing is left" package_goes
    as_root rm -rf "$clean"
else
    skipped+=("package: installed in a clean root (there is no mmdebstrap)")
fi
