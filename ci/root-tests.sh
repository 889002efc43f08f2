# Roots of Debian packages, booted; sourced by ci/guest-tests.sh, whose functions it uses.
# shellcheck shell=bash disable=SC2154

# Makes the image that the others boot; its packages stay in the cache.
root_image() {
    rm -f "$logs/root.img"
    "$FENCEPOST" root --packages bash,v4l-utils,perl-base -o "$logs/root.img"
}

# The same as a folder.
root_folder() {
    rm -rf "$logs/root.dir"
    "$FENCEPOST" root --packages bash,v4l-utils,perl-base -o "$logs/root.dir/"
}

# Boots the image, or the folder that ROOT_DIR names, and runs a command: `in_root NAME STATUS COMMAND [OPTION...]`; leaves $logs/NAME.text.
in_root() {
    local name=$1 wanted=$2 command=$3 status=0
    shift 3
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --root "${ROOT_DIR:-$logs/root.img}" --root-cmd "$command" --accel soft --memory 256M --timeout 600 \
        "$@" </dev/null >"$logs/$name" 2>"$logs/$name.host" || status=$?
    tr -d '\r' <"$logs/$name" >"$logs/$name.text"
    [ "$status" = "$wanted" ] && return
    echo "status $status, not $wanted"
    tail -n 20 "$logs/$name.text" "$logs/$name.host"
    return 1
}

# Programs of the packages at work: one of a package that was asked for, one with libraries of its own, the shell, links between
# programs, and what is written is there until the end.
root_programs() {
    # The guest's shell takes it apart.
    # shellcheck disable=SC2016
    in_root "$1" 7 'v4l2-ctl --version
        perl -e "printf qq(%s\n), join q(,), map { \$_ ** 2 } 1 .. 5"
        bash -c '\''words=(one two three); echo "${words[-1]} of ${#words[@]}"'\''
        awk "BEGIN { print 6 * 7 }"
        stat -c "%U %G %a" /usr/bin/mount /tmp
        echo kept >/etc/kept && cat /etc/kept
        readlink /bin
        exit 7' || return 1
    diff "$logs/$1.text" - <<'END'
v4l2-ctl 1.22.1
1,4,9,16,25
three of 3
42
root root 4755
root root 1777
kept
usr/bin
END
}

# Every file of every package is what the package says it is: md5sum has the sums from the packages themselves.
root_files() {
    # shellcheck disable=SC2016
    in_root "$1" 0 'cd /
        set -- /var/lib/dpkg/info/*.md5sums
        cat "$@" | md5sum -c --quiet && echo "$# packages, $(cat "$@" | wc -l) files"' || return 1
    cat "$logs/$1.text"
    grep -qE '^[0-9]{2,} packages, [0-9]{4,} files$' "$logs/$1.text"
}

# From the start to the end of a command: at 200 million instructions a second these are 3 seconds.
root_quick() {
    local most=600000000 took
    in_root "$1" 0 true --stats || return 1
    took=$(sed -n 's/^stats: \([0-9]*\) guest instructions.*/\1/p' "$logs/$1.host")
    echo "$took instructions"
    [ "$took" -le "$most" ]
}

# A root that is shared by virtio-fs: the same programs, and two runs with the same memory.
root_shared() {
    local ROOT_DIR=$logs/root.dir run
    root_programs "$1" || return 1
    for run in 1 2; do
        in_root "$1-$run" 0 'ls -lR /usr/share/doc | md5sum; cat /usr/bin/perl | md5sum' --memory-hash --stats || return 1
        { cat "$logs/$1-$run.text" && grep -E 'sha256|guest instructions|virtio-fs' "$logs/$1-$run.host"; } |
            sed 's/, [0-9.]* MIPS//' >"$logs/$1-$run.said"
    done
    cat "$logs/$1-1.said"
    [ "$(grep -c sha256 "$logs/$1-1.said")" = 2 ] && cmp "$logs/$1-1.said" "$logs/$1-2.said"
}

# With a wire the guest has an address, a way out and name servers before its command starts.
root_network() {
    local server port status=0
    network_server "$1" || return 1
    # shellcheck disable=SC2016
    in_root "$1" 0 'PATH=$PATH:/run/fencepost; busybox ip addr show | grep -c "inet .*global"; grep -c "^nameserver" /etc/resolv.conf
        gateway=$(busybox ip route | busybox sed -n "s/^default via \([0-9.]*\).*/\1/p")
        busybox wget -q -O /tmp/data "http://$gateway:'"$port"'/data" && stat -c %s /tmp/data' --net passt || status=1
    kill "$server"
    cat "$logs/$1.text"
    [ "$status" = 0 ] && [ "$(sed -n '1p;$p' "$logs/$1.text" | tr '\n' ' ')" = "1 1500000 " ]
}

# A shell on the console takes its commands from there, and its status is the machine's.
root_shell() {
    local status=0
    # shellcheck disable=SC2016
    printf '%s\n' 'echo "it is $((40 + 2))"' 'tty' 'exit 3' |
        "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --root "$logs/root.img" --accel soft --timeout 300 >"$logs/$1" 2>&1 || status=$?
    tr -d '\r' <"$logs/$1" >"$logs/$1.text"
    tail -n 20 "$logs/$1.text"
    [ "$status" = 3 ] && grep -q 'it is 42$' "$logs/$1.text" && grep -q '/dev/ttyS0$' "$logs/$1.text"
}

check "root: an image of Debian's packages" root_image
check "root: programs of the packages run" root_programs root
check "root: the same on the 6.1 kernel" on_stable root_programs stable-root
check "root: every file is what its package says" root_files root-files
check "root: a shell on the console" root_shell root-shell
check "root: a folder of Debian's packages" root_folder
check "root: the folder by virtio-fs, twice the same" root_shared root-shared
check "root: the same on the 6.1 kernel, by virtio-fs" on_stable root_shared stable-root-shared
check "root: a network" root_network root-network
check "root: a network on the 6.1 kernel" on_stable root_network stable-root-network
check "root: few instructions from start to end" root_quick root-quick
check "root: the same on the 6.1 kernel, few instructions" on_stable root_quick stable-root-quick
