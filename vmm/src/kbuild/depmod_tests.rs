use super::super::testing::module;
use super::*;

/// Modules by path, information, exports and wants.
type Given<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str]);

fn facts(modules: &[Given]) -> Vec<(String, Facts)> {
    let of = |(path, information, exports, wants): &Given| {
        (path.to_string(), Facts::of(&module(information, exports, wants)).expect("a module"))
    };
    modules.iter().map(of).collect()
}

/// The lines of a text of the index, without its heading.
fn lines(catalogue: &Catalogue, name: &str) -> Vec<String> {
    let files = catalogue.write(Builtin::default()).expect("small");
    let (_, bytes) = files.iter().find(|(of, _)| *of == name).expect(name);
    let text = String::from_utf8(bytes.clone()).expect("text");
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_string).collect()
}

const TREE: [Given; 4] = [
    (
        "kernel/b/top.ko.xz",
        "depends=wrong;alias=pci:v-d*[0-9];alias=b]",
        &[],
        &["middle_call", "printk", "low_call"],
    ),
    (
        "kernel/low.ko.xz",
        "softdep=pre: other;alias=char-major-10-200;alias=devname:net/low",
        &["low_call"],
        &[],
    ),
    ("kernel/a/middle-one.ko.xz", "alias=devname:nothing", &["middle_call"], &["low_call"]),
    ("kernel/z.ko.xz", "alias=block-major-259-*", &[], &[]),
];

#[test]
fn what_modules_need_follows_from_their_symbols() {
    let catalogue = Catalogue::new(facts(&TREE), "kernel/b/top.ko\nkernel/low.ko\n");
    assert_eq!(
        lines(&catalogue, "modules.dep"),
        [
            "kernel/b/top.ko.xz: kernel/a/middle-one.ko.xz kernel/low.ko.xz",
            "kernel/low.ko.xz:",
            "kernel/a/middle-one.ko.xz: kernel/low.ko.xz",
            "kernel/z.ko.xz:",
        ]
    );
    assert_eq!(
        lines(&catalogue, "modules.symbols"),
        ["alias symbol:middle_call middle_one", "alias symbol:low_call low"]
    );
    assert_eq!(lines(&catalogue, "modules.softdep"), ["softdep low pre: other"]);
    assert_eq!(lines(&catalogue, "modules.devname"), ["low net/low c10:200"]);
    assert_eq!(lines(&catalogue, "modules.alias")[0], "alias pci:v-d*[0-9] top");
}

#[test]
fn an_extra_module_takes_the_place_of_the_kernels() {
    let mut catalogue = Catalogue::new(facts(&TREE), "");
    catalogue.add(facts(&[
        ("updates/middle_one.ko", "alias=new", &["middle_call", "more"], &[]),
        ("updates/mine.ko", "", &[], &["more", "low_call"]),
    ]));
    let dep = lines(&catalogue, "modules.dep");
    // Neither of the two that `top` needs now needs the other: either order is right.
    let top = dep.iter().find(|line| line.starts_with("kernel/b/top.ko.xz:")).expect("it is there");
    let mut of_top: Vec<&str> = top.split(' ').skip(1).collect();
    of_top.sort_unstable();
    assert_eq!(of_top, ["kernel/low.ko.xz", "updates/middle_one.ko"]);
    assert!(dep.contains(&"updates/middle_one.ko:".to_string()), "{dep:?}");
    assert!(
        dep.iter().any(|line| line.starts_with("updates/mine.ko:") && line.contains("updates/middle_one.ko"))
    );
    assert!(!dep.iter().any(|line| line.contains("middle-one")), "{dep:?}");
    assert!(!lines(&catalogue, "modules.alias").contains(&"alias devname:nothing middle_one".to_string()));
    assert!(lines(&catalogue, "modules.alias").contains(&"alias new middle_one".to_string()));
}

#[test]
fn modules_that_need_each_other_are_left_out() {
    let catalogue = Catalogue::new(
        facts(&[
            ("kernel/a.ko", "", &["of_a"], &["of_b"]),
            ("kernel/b.ko", "", &["of_b"], &["of_a", "of_c"]),
            ("kernel/c.ko", "", &["of_c"], &[]),
            ("kernel/user.ko", "", &[], &["of_a"]),
            ("kernel/self.ko", "", &["own"], &["own"]),
        ]),
        "",
    );
    assert_eq!(lines(&catalogue, "modules.dep"), ["kernel/self.ko:", "kernel/user.ko:"]);
}

#[test]
fn aliases_are_searched_for_with_underscores() {
    for (alias, searched) in [
        ("net-pf-16", Some("net_pf_16")),
        ("of:N*T*C[a-z]-x", Some("of:N*T*C[a-z]_x")),
        ("a[b-c", None),
        ("a]b", None),
        ("", Some("")),
    ] {
        assert_eq!(key(alias).as_deref(), searched, "{alias}");
    }
}
