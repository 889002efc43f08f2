use super::read::parse;
use super::*;

const WHOLE: &str = r#"
[scenario]
name = "probe"
timeout = "2s"

[machine]
memory = "512M"

[kernel]
matrix = ["6.12", "6.1"]

[modules]
build = "driver"
parameters = { my_driver = "debug=1" }

[guest]
packages = ["v4l-utils"]
env = { MODE = "fast" }

[[step]]
run = "modprobe my_driver"

[[step]]
fault = "gpu:hang,count=1"
at = "100ms"

[[step]]
run = "./check.sh"
status = 4
ktap = true

[expect]
trace = ["no IOMMU fault"]

[expect.ktap]
known = [{ pattern = "^dma", reason = "slow host" }]
"#;

#[test]
fn a_scenario_has_what_its_file_says() {
    let scenario = parse(WHOLE).unwrap();
    assert_eq!(scenario.scenario.timeout, Length::seconds(2));
    assert_eq!(scenario.kernel.names().unwrap().len(), 2);
    let Some(MachineAt::Here(machine)) = &scenario.machine else { panic!("no machine") };
    assert_eq!((machine.memory.0, machine.devices.len()), (512 << 20, 3));
    let actions: Vec<_> = scenario.steps.iter().map(|step| step.get_ref().action().unwrap()).collect();
    assert_eq!(
        actions,
        [Action::Run("modprobe my_driver"), Action::Fault("gpu:hang,count=1"), Action::Run("./check.sh")]
    );
    assert_eq!(scenario.steps[2].get_ref().status, Some(4));
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_the_nearest_name() {
    let cases = [
        ("pakages", "packages = [", "pakages = [", Some(17), "did you mean packages?"),
        ("machine key", "memory = ", "memori = ", Some(7), "did you mean memory?"),
        ("memory", "\"512M\"", "\"5M\"", Some(7), "16M"),
        ("table", "[expect.ktap]", "[expect.ktap.x]", Some(35), "there are known"),
        ("time", "timeout = \"2s\"", "timeout = \"2\"", Some(4), "500ms"),
        ("step", "run = \"modprobe my_driver\"", "", Some(20), "one of run, fault"),
        ("both", "status = 4", "fault = \"gpu:hang\"", Some(27), "one of run, fault"),
        ("action", "at = \"100ms\"", "status = 1", Some(23), "only a command has 'status'"),
        ("fault", "gpu:hang,count=1", "gpu:hangg", Some(23), "did you mean hang?"),
        ("set", "fault = \"gpu:hang,count=1\"", "set = \"gpu:latncy=1\"", Some(23), "did you mean latency?"),
        ("hotplug", "fault = \"gpu:hang,count=1\"", "hotplug = \"add gpuu\"", Some(23), "did you mean gpu?"),
        (
            "twice",
            "matrix = [\"6.12\", \"6.1\"]",
            "matrix = [\"6.1\"]\npackage = \"6.1\"",
            Some(9),
            "named twice",
        ),
        ("pattern", "^dma", "(dma", Some(35), "no regular expression"),
        ("ending", "trace = [\"no IOMMU fault\"]", "end = \"restet\"", Some(33), "did you mean reset?"),
    ];
    for (name, from, to, line, words) in cases {
        assert!(WHOLE.contains(from), "{name}");
        let (at, why) = parse(&WHOLE.replace(from, to)).expect_err(name);
        assert!(why.contains(words), "{name}: {why}");
        assert!(why.len() < 260 && !why.contains('\n'), "{name}: {why}");
        assert_eq!(at, line, "{name}: {why}");
    }
}

#[test]
fn lengths_are_read_and_shown() {
    for (text, ns) in
        [("1ns", 1), ("2us", 2000), ("1.5ms", 1_500_000), ("3s", 3_000_000_000), ("2m", 120_000_000_000)]
    {
        let length: Length = text.parse().unwrap();
        assert_eq!(length.ns(), ns);
        assert_eq!(length.to_string().parse(), Ok(length));
    }
    for wrong in ["", "0s", "5", "s", "-1s", "1h", "1.2.3s", "1e9s", "99999999999999999999s"] {
        assert!(wrong.parse::<Length>().is_err(), "{wrong}");
    }
}

#[test]
fn folders_are_searched_for_scenarios() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("deep/er")).unwrap();
    std::fs::create_dir(at(".hidden")).unwrap();
    for name in ["b.toml", "deep/er/a.toml", ".hidden/c.toml"] {
        std::fs::write(at(name), "[scenario]\n\n[[step]]\nrun = \"true\"\n").unwrap();
    }
    std::fs::write(at("Cargo.toml"), "[package]\n").unwrap();
    let found = find(&[folder.path().to_path_buf(), at("b.toml")]).unwrap();
    assert_eq!(found, [at("b.toml"), at("deep/er/a.toml")]);
    assert_eq!(read(&found[1]).unwrap().scenario.scenario.name, "a");
    let none = find(&[at(".hidden/nothing")]).expect_err("not there");
    assert!(none.to_string().contains("No such file"), "{none}");
    std::fs::create_dir(at("empty")).unwrap();
    assert!(find(&[at("empty")]).expect_err("empty").to_string().contains("no scenario in it"));
    std::fs::write(
        at("files.toml"),
        "[scenario]\n[guest]\nfiles = { \"/x\" = \"nowhere\" }\n[[step]]\nrun = \"true\"\n",
    )
    .unwrap();
    let missing = read(&at("files.toml")).expect_err("missing").to_string();
    assert!(missing.contains("nowhere") && missing.contains("scenario's folder"), "{missing}");
}

#[test]
fn names_that_the_guest_could_not_use_are_refused_with_their_line() {
    let machine = "[machine]\n[[machine.devices]]\nkind = 'virtio-fs'\nslot = 9\nparameters = { tag = 'fencepost-x', dir = '.' }";
    let cases = [
        ("[guest]\nshare = { fencepost-work = '.' }", 2, "is for `fencepost test` itself"),
        ("[guest.share]\n'a,b' = '.'", 2, "the tag 'a,b' is not possible"),
        ("[guest.share]\n\"..\" = '.'", 2, "the tag '..' is not possible"),
        ("[guest.env]\nGOOD = '1'\n'A B' = '2'", 3, "'A B' is no name of a variable"),
        ("[[variant]]\nname = 'v'\nenv = { 'A B' = '2' }", 3, "'A B' is no name of a variable"),
        ("[guest]\nenv = { 1A = '2' }", 2, "'1A' is no name of a variable"),
        ("[machine]\naccel = 'kvm'", 2, "scenarios run under soft"),
        (machine, 5, "is for `fencepost test` itself"),
        (&machine.replace("fencepost-x", "t") as &str, 5, "is that of a device and of a folder"),
    ];
    for (text, line, words) in cases {
        let text = format!("{text}\n[scenario]\n[[step]]\nrun = 'true'\n");
        let text =
            if words.contains("of a device") { format!("{text}[guest.share]\nt = '.'\n") } else { text };
        let why = Found::of(Path::new("x.toml"), &text).expect_err(words).to_string();
        assert!(
            why.starts_with(&format!("x.toml:{line}: ")) && why.contains(words) && why.len() < 300,
            "{why}"
        );
    }
    let good =
        "[scenario]\n[guest]\nshare = { a-b_1 = '.' }\nenv = { A_1 = 'x y' }\n[[step]]\nrun = 'true'\n";
    assert!(Found::of(Path::new("x.toml"), good).is_ok());
}
