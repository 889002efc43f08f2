#!/run/fencepost/busybox sh
# shellcheck shell=dash
# Brings up the guest's network devices, and gives them addresses by DHCP: udhcpc calls this script again with what it was told.
busybox=/run/fencepost/busybox
# udhcpc sets these.
# shellcheck disable=SC2154
configure() {
    $busybox ip addr add "$ip/${mask:-24}" dev "$interface"
    if [ -n "$router" ]; then
        # The gateway may lie outside the net.
        $busybox ip route add "${router%% *}" dev "$interface" 2>/dev/null
        $busybox ip route add default via "${router%% *}" dev "$interface"
    fi
    if [ -n "$domain" ]; then echo "search $domain"; fi >/etc/resolv.conf
    for server in $dns; do echo "nameserver $server"; done >>/etc/resolv.conf
}
case ${1:-all} in
bound) configure ;;
all)
    $busybox ip link set lo up
    for folder in /sys/class/net/*; do
        if [ -e "$folder/device" ]; then
            link=${folder##*/}
            $busybox ip link set "$link" up
            $busybox udhcpc -i "$link" -n -q -s "$0" >/dev/null 2>&1 ||
                echo "fencepost: nobody gives $link an address (DHCP)" >/dev/console
        fi
    done
    ;;
esac
