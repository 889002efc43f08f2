use super::super::testing::{module, put};
use super::*;

#[test]
fn a_module_says_what_it_needs_and_has() {
    let information = "license=GPL;depends=drm,drm-kms-helper;softdep=pre: a-b c post: d;softdep=post: e;alias=x=y;\
                       vermagic=6.1.0 SMP mod_unload ";
    let facts = Facts::of(&module(information, &["mine"], &["printk", "theirs"])).expect("a module");
    assert_eq!(facts.depends().collect::<Vec<_>>(), ["drm", "drm_kms_helper"]);
    assert_eq!(facts.wishes(), ["a_b", "c"]);
    assert_eq!(facts.values("alias").collect::<Vec<_>>(), ["x=y"]);
    assert_eq!(facts.release(), Some("6.1.0"));
    assert_eq!((facts.exports, facts.wants), (vec!["mine".into()], vec!["printk".into(), "theirs".into()]));
}

#[test]
fn a_packed_module_says_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = module("depends=other", &[], &["far"]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &bytes).expect("in memory");
    let packed = put(folder.path().join("one.ko.gz"), encoder.finish().expect("in memory"));
    assert_eq!(Facts::read(&packed).expect("a module"), Facts::of(&bytes).expect("a module"));
}

#[test]
fn what_is_no_module_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = module("depends=", &["a"], &["b"]);
    for (name, bytes) in
        [("text.ko", &b"hello"[..]), ("empty.ko", b""), ("cut.ko", &whole[..whole.len() / 2])]
    {
        let path = put(folder.path().join(name), bytes);
        let line = Facts::read(&path).expect_err("no module").to_string();
        assert!(line.contains(name) && line.contains("no module") && line.len() < 300, "{line}");
    }
    let line = Facts::read(&folder.path().join("absent.ko")).expect_err("nothing").to_string();
    assert!(line.contains("absent.ko: No such file"), "{line}");
}
