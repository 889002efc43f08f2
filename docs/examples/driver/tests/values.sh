#!/bin/sh
# Results by name, as KTAP.
number=0
result() {
    number=$((number + 1))
    if [ "$2" = "$3" ]; then echo "ok $number $1"; else echo "not ok $number $1 # $2, not $3"; fi
}
echo "KTAP version 1"
echo "1..4"
for pair in 0:1 5:120 12:479001600; do
    echo "${pair%:*}" >/dev/factorial
    result "the factorial of ${pair%:*}" "$(cat /dev/factorial)" "${pair#*:}"
done
refused=no
echo 13 2>/dev/null >/dev/factorial || refused=yes
result "13 is refused" "$refused" yes
