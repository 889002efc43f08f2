//! Options of other launchers, and what there is instead of them.

/// Options, as other programs spell them, with what takes their place here.
const FOREIGN: &[(&[&str], &str)] = &[
    (
        &["-m", "-mem", "--mem", "--ram", "-memory", "--memory-mb", "--mem-size"],
        "use --memory SIZE, such as 512M",
    ),
    (&["-kernel", "-k", "--vmlinux", "--bzimage"], "use --kernel FILE"),
    (&["-initrd", "-i", "--initramfs", "-initramfs"], "use --initrd FILE"),
    (
        &["-append", "-a", "-p", "--cmdline", "-cmdline", "--params", "--kernel-cmdline", "--boot-args"],
        "use --append STRING",
    ),
    (&["-smp", "--smp", "-cpus", "--vcpus", "-c"], "use --cpus N"),
    (&["-cpu", "--cpu-model"], "use --cpu baseline or --cpu v2"),
    (
        &[
            "-disk",
            "-d",
            "-drive",
            "--drive",
            "-hda",
            "-hdb",
            "-hdc",
            "-hdd",
            "-cdrom",
            "-sda",
            "--image",
            "--block",
            "-blockdev",
            "--pmem",
        ],
        "use --disk FILE, or --disk FILE,ro",
    ),
    (&["-fsdev", "--fs", "--virtiofs", "--volume", "--shared-dir"], "use --share DIR"),
    (&["--rootfs", "--rootdir"], "use --root, with what `fencepost root` made"),
    (
        &["-net", "-n", "-netdev", "--netdev", "-nic", "--nic", "--network", "--tap", "--net-device"],
        "use --net passt, --net tap=NAME or --net socket=PATH",
    ),
    (
        &["-nographic", "--nographic", "-serial", "-console", "--tty", "-chardev"],
        "the serial console is on standard input and output; leave it out",
    ),
    (
        &["-display", "-vga", "-vnc", "-sdl", "-curses", "--gui"],
        "see the screens with --view or --vnc, keep pictures with --frames DIR; the display's mode is --display width=,height=",
    ),
    (&["-enable-kvm", "--enable-kvm", "--kvm", "-accel"], "use --accel kvm, or --accel auto"),
    (&["-icount", "--icount"], "use --accel soft, which counts every instruction"),
    (&["-no-reboot", "--no-reboot"], "a reset always ends the machine, with status 4; leave it out"),
    (&["-no-shutdown", "--no-shutdown"], "power-off always ends the machine; leave it out"),
    (
        &["-machine", "-M", "-vfio", "--vfio", "--vsock", "--rng", "--balloon"],
        "there is no such device, see --device help; leave it out",
    ),
    (&["-device"], "use --device KIND"),
    (
        &["-bios", "--bios", "--firmware", "-pflash", "--pflash", "-boot", "--boot"],
        "the kernel of --kernel is entered at once, without a boot loader; leave it out",
    ),
    (&["-s"], "use --gdb 1234,nowait"),
    (&["-S", "-gdb"], "use --gdb ADDR, for which the guest waits"),
    (
        &["-monitor", "-qmp", "-mon", "--monitor", "--api-socket", "--api-sock", "--control-socket"],
        "there is no monitor; Ctrl-] then q on the console, or a signal, ends the machine",
    ),
    (
        &["-daemonize", "--daemonize", "--detach"],
        "start it in the background, with standard input from /dev/null",
    ),
    (&["-D", "--log-file", "--event-log"], "use --trace FILE"),
    (&["-o", "--output"], "use --frames DIR for pictures, --trace FILE for a trace"),
    (&["--screenshot", "--screenshots"], "use --frames DIR"),
    (&["--time-limit", "--deadline", "-t"], "use --timeout SECONDS"),
    (&["--config", "--config-file", "-readconfig"], "use --machine FILE, which --print-machine writes"),
];

/// What there is instead of another launcher's option.
pub(super) fn instead_of(word: &str) -> Option<&'static str> {
    // As in `-m512M`.
    let size = |c: char| c.is_ascii_digit() || "KMG".contains(c);
    let word = if word.starts_with("-m") { word.trim_end_matches(size) } else { word };
    FOREIGN.iter().find(|(words, _)| words.contains(&word)).map(|(_, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn no_option_of_ours_is_foreign_and_what_is_named_instead_is_there() {
        let all = Cli::command();
        let run = all.find_subcommand("run").expect("there");
        let ours: Vec<String> =
            run.get_arguments().filter_map(|it| Some(format!("--{}", it.get_long()?))).collect();
        for (words, instead) in FOREIGN {
            assert!(words.iter().all(|word| !ours.iter().any(|our| our == word)), "{words:?}");
            for word in instead.split([' ', ',', ';']).filter(|word| word.starts_with("--")) {
                assert!(ours.iter().any(|our| our == word), "{word} is not an option of run");
            }
        }
    }
}
