#!/bin/dash
# SPDX-License-Identifier: GPL-2.0
# Debian's i386 programs at work: this script's own shell and what it runs. Each test compares an output with that of the
# host's programs for amd64 from the same input (/tests/expected, by ci/debian).

number=0 failed=0
echo "KTAP version 1"
echo "1..10"

# One test: the command's output is what the file says.
#   same NAME COMMAND...
same() {
    local name=$1
    shift
    number=$((number + 1))
    "$@" >/tmp/output 2>&1
    if busybox-i386 cmp /tmp/output "/tests/expected/$name"; then
        echo "ok $number $name"
    else
        echo "not ok $number $name"
        failed=1
        busybox-i386 head -n 5 /tmp/output "/tests/expected/$name" | busybox-i386 sed 's/^/# /'
    fi
}

checksum() { busybox-i386 sha256sum /tests/words; }
sorted() { busybox-i386 sort /tests/words | busybox-i386 uniq -c | busybox-i386 sort -n | busybox-i386 tail -n 20; }
# awk has variables of its own.
# shellcheck disable=SC2016
numbers() { busybox-i386 awk '{ n = length($0); sum += n * n / 7; if (n > most) most = n } END { printf "%.9f %d\n", sum, most }' /tests/words; }
unpacked() { busybox-i386 xzcat /tests/words.xz | busybox-i386 sha256sum; }
packed() { busybox-i386 gzip -c /tests/words | busybox-i386 gunzip | busybox-i386 sha256sum; }
calculated() { echo 'scale=40; sqrt(2); 2^200; e(1)' | busybox-i386 bc -l; }

# The shell itself: arithmetic of 64 bits, a signal to itself, a child's status, a pipe.
shell() {
    local got=none
    echo $((123456789 * 987654321)) $((-7 / 2)) $((1 << 40))
    trap 'got=usr1' USR1
    kill -USR1 $$
    echo "$got"
    (exit 9)
    echo $?
    echo one two three | while read -r first rest; do echo "$rest $first"; done
}

# C++ with the libraries of its language: a trie is built and asked, and a file that is not there is an exception.
trie() {
    marisa-build /tests/words 2>/dev/null >/tmp/trie
    busybox-i386 head -n 3 /tests/words | marisa-lookup /tmp/trie | busybox-i386 cut -f 2
    marisa-lookup /nowhere </dev/null 2>&1 | busybox-i386 grep -c MARISA_IO_ERROR
}

same checksum checksum
same sorted sorted
same numbers numbers
same unpacked unpacked
same packed packed
same calculated calculated
same shell shell
same perl perl /tests/work.pl /tests/words
same trie trie

# What ran was what it is said to be.
number=$((number + 1))
if [ "$(busybox-i386 od -An -tu1 -j4 -N1 "/proc/$$/exe" | busybox-i386 tr -d ' ')" = 1 ]; then
    echo "ok $number this shell is a 32-bit program"
else
    echo "not ok $number this shell is a 32-bit program"
    failed=1
fi
exit $failed
