//! `fencepost root` as a user runs it: with the host's own apt and dpkg, and a package source in a folder.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// A cache folder, and a source of packages for it.
struct Place {
    folder: tempfile::TempDir,
}

/// A package to be built: name, further fields of its control file, and its files, by path, mode and content.
type Recipe<'a> = (&'a str, &'a str, &'a [(&'a str, u32, &'a str)]);

/// What stands for the packages that every root has, and a few to be asked for.
const RECIPES: [Recipe; 7] = [
    ("base-files", "Essential: yes\nVersion: 12", &[("usr/share/base-files/motd", 0o644, "welcome\n")]),
    ("usr-is-merged", "Version: 1:3", &[]),
    ("mount", "Version: 2", &[("bin/mount", 0o4755, "mounts")]),
    ("busybox-static", "Version: 1", &[("bin/busybox", 0o755, "\x7fELF")]),
    (
        "tool",
        "Version: 1.0+x~1\nDepends: libtool1",
        &[("usr/bin/tool", 0o755, "a tool"), ("etc/tool.conf", 0o600, "")],
    ),
    ("libtool1", "Version: 2\nMulti-Arch: same", &[("lib/libtool.so.1", 0o644, "a library")]),
    ("rival", "Version: 1\nConflicts: tool", &[]),
];

impl Place {
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().expect("a folder") };
        fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o777)).expect("ours");
        let archive = place.path("archive");
        fs::create_dir(&archive).expect("new");
        let mut list = String::new();
        for recipe in &RECIPES {
            list.push_str(&place.package(recipe));
        }
        fs::write(archive.join("Packages"), list).expect("written");
        let line = format!("deb [trusted=yes] file:{} ./\n", archive.display());
        fs::write(place.path("sources.list"), line).expect("written");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Builds a package, and gives its paragraph of the list.
    fn package(&self, (name, fields, files): &Recipe) -> String {
        let tree = self.path(&format!("tree-{name}"));
        let control = format!(
            "Package: {name}\nArchitecture: amd64\n{fields}\nMaintainer: nobody\nDescription: a test\n"
        );
        fs::create_dir_all(tree.join("DEBIAN")).expect("new");
        fs::write(tree.join("DEBIAN/control"), &control).expect("written");
        fs::write(tree.join("DEBIAN/postinst"), "#!/bin/sh\ntouch /ran-on-the-host\n").expect("written");
        fs::set_permissions(tree.join("DEBIAN/postinst"), fs::Permissions::from_mode(0o755)).expect("ours");
        for (path, mode, content) in *files {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(&path, content).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).expect("ours");
        }
        let deb = self.path("archive").join(format!("{name}.deb"));
        let built = Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .args([&tree, &deb])
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .output()
            .expect("dpkg-deb runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let bytes = fs::read(&deb).expect("built");
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{control}Filename: ./{name}.deb\nSize: {}\nSHA256: {hash}\n\n", bytes.len())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
        command.arg("root").arg("--sources").arg(self.path("sources.list")).args(arguments);
        command.current_dir(self.folder.path()).env("FENCEPOST_CACHE", self.path("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the command starts")
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    }

    /// One line that has all of `names`, status 2, and no file more than before, but in the cache.
    fn refused(&self, arguments: &[&str], names: &[&str]) {
        let before = self.names();
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        let last = text.lines().last().unwrap_or_default();
        let told = text.lines().filter(|line| !line.contains("fetching")).count();
        assert_eq!(told, 1, "{arguments:?}: {text}");
        names.iter().for_each(|name| assert!(last.contains(name), "{name} is not in: {last}"));
        assert_eq!(self.names(), before, "{arguments:?}");
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("a folder").flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name != "cache");
        names.sort_unstable();
        names
    }
}

#[test]
fn packages_become_a_folder_with_what_they_need() {
    let place = Place::new();
    let said = place.good(&["--packages", "tool", "-o", "out/"]);
    assert!(said.contains("out: folder of 5 packages"), "{said}");
    let out = place.path("out");
    let read = |path: &str| fs::read_to_string(out.join(path)).unwrap_or_else(|_| panic!("no {path}"));
    assert_eq!((read("usr/bin/tool"), read("lib/libtool.so.1")), ("a tool".into(), "a library".into()));
    assert_eq!(fs::read_link(out.join("lib")).expect("a link"), Path::new("usr/lib"));
    assert_eq!(read("etc/motd"), "welcome\n");
    assert!(read("var/lib/dpkg/status").contains("Package: tool\nStatus: install ok unpacked\n"));
    assert!(read("var/lib/dpkg/info/libtool1:amd64.list").contains("/lib/libtool.so.1\n"));
    assert!(read("var/lib/dpkg/info/tool.postinst").contains("touch"));
    assert!(!Path::new("/ran-on-the-host").exists());
    let metadata = fs::metadata(out.join("etc/tool.conf")).expect("there");
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o600, 1_700_000_000));
    // Only root can give files away, and only root's may run as root.
    let mount = fs::metadata(out.join("usr/bin/mount")).expect("there");
    assert_eq!(mount.mode() & 0o4000 != 0, mount.uid() == 0);
}

#[test]
fn the_same_packages_give_the_same_image_and_need_no_source_then() {
    let place = Place::new();
    place.good(&["--packages", "tool", "-o", "one.img"]);
    // Nothing is fetched any more: the lists and all packages are there.
    fs::rename(place.path("archive"), place.path("gone")).expect("ours");
    let said = place.good(&["--packages", "libtool1,tool", "-o", "two.img"]);
    assert!(!said.contains("fetching"), "{said}");
    let (one, two) =
        (fs::read(place.path("one.img")).expect("one"), fs::read(place.path("two.img")).expect("two"));
    assert!(one == two && one[1024..1028] == [0xe2, 0xe1, 0xf5, 0xe0]);
    place.refused(&["--packages", "rival", "-o", "three.img"], &["rival_1_amd64.deb", "cannot be fetched"]);
}

#[test]
fn a_damaged_download_is_fetched_again_and_a_wrong_one_refused() {
    let place = Place::new();
    place.good(&["--packages", "tool", "-o", "one.img"]);
    let apt = fs::read_dir(place.path("cache/root")).expect("cache").flatten();
    let apt = apt.map(|entry| entry.path()).find(|path| path.join("archives").is_dir()).expect("an apt");
    let kept = apt.join("archives/libtool1_2_amd64.deb");
    let good = fs::read(&kept).expect("kept");
    fs::write(&kept, &good[1..]).expect("ours");
    let said = place.good(&["--packages", "tool", "-o", "two.img"]);
    assert!(said.contains("fetching 1 packages"), "{said}");
    assert!(fs::read(place.path("one.img")).expect("one") == fs::read(place.path("two.img")).expect("two"));
    // Now the archive itself has another file than its list says.
    fs::remove_file(&kept).expect("ours");
    fs::write(place.path("archive/libtool1.deb"), [&good[..good.len() - 1], b"x"].concat()).expect("ours");
    place.refused(&["--packages", "tool", "-o", "three.img"], &["libtool1_2_amd64.deb", "cannot be fetched"]);
}

#[test]
fn what_is_wrong_is_one_line() {
    let place = Place::new();
    place.refused(&["--packages", "toll", "-o", "x"], &["--packages toll", "did you mean tool?"]);
    place.refused(&["--packages", "tool,rival", "-o", "x"], &["rival", "tool"]);
    place.refused(&["--packages", "tool", "-o", "x", "--suite", "utopia"], &["utopia"]);
    place.refused(&["--packages=-y", "-o", "x"], &["--packages -y", "no name"]);
    place.refused(&["--packages", "tool", "-o", "x", "--arch", "../x"], &["--arch ../x"]);
    place.refused(&["--packages", "tool"], &["--output"]);
    place.refused(&["-o", "x"], &["--packages"]);
    place.refused(&["--packages", "tool", "-o", "none/x"], &["-o none/x", "No such file"]);
    // Before a package is looked for.
    place.refused(&["--packages", "toll", "-o", "/proc/x"], &["-o /proc/x", "where you may write"]);
    place.refused(&["--packages", "toll", "-o", "/proc/x/"], &["-o /proc/x/", "where you may write"]);
    place.refused(&["--packages", "tool", "-o", "/dev/full"], &["/dev/full", "is there already"]);
    place.refused(&["--packages", "tool", "-o", "archive/"], &["archive", "folder with files"]);
    place.refused(&["--kernel-package", "tool"], &["--kernel-package tool", "kernel"]);
    fs::write(place.path("there"), "mine").expect("written");
    place.refused(&["--packages", "tool", "-o", "there"], &["there", "is there already"]);
    assert_eq!(fs::read(place.path("there")).expect("kept"), b"mine");
}

#[test]
fn a_host_without_apt_is_told_so() {
    let place = Place::new();
    let output =
        place.command(&["--packages", "tool", "-o", "x"]).env("PATH", place.path("archive")).output();
    let output = output.expect("the command starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
    assert!(text.contains("apt-config") && text.contains("no such program"), "{text}");
}

#[test]
fn a_full_disk_and_a_signal_leave_nothing() {
    let place = Place::new();
    place.good(&["--packages", "tool", "-o", "one.img"]);
    // A limit on the size of files stands for a disk that is full.
    let limited = |kib: u32, output: &str| {
        let mut shell = Command::new("sh");
        let line =
            format!("ulimit -f {kib}; exec \"$0\" root --sources sources.list --packages tool -o {output}");
        shell.args(["-c", &line, env!("CARGO_BIN_EXE_fencepost")]).current_dir(place.folder.path());
        shell.env("FENCEPOST_CACHE", place.path("cache")).output().expect("the command starts")
    };
    let before = place.names();
    let output = limited(8, "two.img");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("File too large"), "{text}");
    assert_eq!(place.names(), before, "{text}");
    // This apt takes as long as it is let.
    let slow = place.path("slow");
    fs::create_dir(&slow).expect("new");
    fs::write(slow.join("apt-get"), "#!/bin/sh\n: >slow/started\nexec sleep 600\n").expect("written");
    fs::set_permissions(slow.join("apt-get"), fs::Permissions::from_mode(0o755)).expect("ours");
    let path = format!("{}:{}", slow.display(), std::env::var("PATH").unwrap_or_default());
    let mut child =
        place.command(&["--packages", "tool", "-o", "two.img"]).env("PATH", path).spawn().expect("starts");
    let pid = rustix::process::Pid::from_child(&child);
    while !slow.join("started").exists() {
        assert!(child.try_wait().expect("a child").is_none(), "it ended before apt did");
        std::thread::sleep(Duration::from_millis(10));
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("ours");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    let before: Vec<_> = before.into_iter().chain(["slow".to_string()]).collect();
    assert!(place.names().iter().all(|name| before.contains(name)), "{:?}", place.names());
}

#[test]
fn an_ordinary_user_makes_the_same_image() {
    use std::os::unix::process::CommandExt;
    let place = Place::new();
    place.good(&["--packages", "tool", "-o", "one.img"]);
    // A program in a folder of root's alone is in nobody's reach.
    let own = place.path("fencepost");
    // By another process: a test that starts one meanwhile would hand it the open file, and the program would not start.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_fencepost")).arg(&own).status();
    assert!(copied.expect("cp is there").success());
    let mut command = Command::new(&own);
    command.args(["root", "--sources", "sources.list", "--packages", "tool", "-o", "two.img"]);
    command.current_dir(place.folder.path()).env("FENCEPOST_CACHE", place.path("cache-of-nobody"));
    // Who is not root can be nobody else, and is such a user already.
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(place.path("one.img")).expect("one") == fs::read(place.path("two.img")).expect("two"));
}
