//! When faults take place, and how they are written.

use super::*;

/// The occasions, of `occasions` a nanosecond apart from 0 on, at which a GPU would hang.
fn hangs(spec: &str, seed: u64, occasions: u64) -> Vec<u64> {
    let mut set = FaultSet::default();
    set.give(&spec.parse().unwrap(), seed, 0).unwrap();
    (0..occasions).filter(|now_ns| set.see(FaultKind::Hang, *now_ns, |_| true).is_some()).collect()
}

#[test]
fn a_fault_takes_place_at_the_occasions_that_it_names() {
    for (spec, at) in [
        ("gpu:hang", vec![0]),
        ("gpu:hang,after=3", vec![2]),
        ("gpu:hang,after=3,count=2", vec![2, 3]),
        ("gpu:hang,every=4", vec![3, 7, 11]),
        ("gpu:hang,every=4,count=2", vec![3, 7]),
        ("gpu:hang,every=4,after=2", vec![1, 5, 9]),
        ("gpu:hang,at=5ns", vec![5]),
        ("gpu:hang,at=5ns,after=3", vec![7]),
        ("gpu:hang,at=1s", vec![]),
        ("gpu:hang,probability=1,count=3", vec![0, 1, 2]),
        ("1:hang,after=12", vec![11]),
    ] {
        assert_eq!(hangs(spec, 0, 12), at, "{spec}");
    }
}

#[test]
fn chance_is_the_seeds_alone_and_as_likely_as_it_says() {
    let spec = "gpu:hang,probability=0.25";
    assert_eq!(hangs(spec, 7, 1000), hangs(spec, 7, 1000));
    assert_ne!(hangs(spec, 7, 1000), hangs(spec, 8, 1000));
    // The binomial distribution: 2500 on average, deviation 43.3; five deviations on either side.
    let count = hangs(spec, 1, 10_000).len();
    assert!((2283..2717).contains(&count), "{count}");
    assert!(hangs("gpu:hang,probability=0.000001", 1, 1000).len() < 3);
}

#[test]
fn a_plus_is_from_when_the_fault_is_given() {
    let mut set = FaultSet::default();
    set.give(&"gpu:hang,at=+5ns".parse().unwrap(), 0, 100).unwrap();
    let at: Vec<u64> = (95..115).filter(|now| set.see(FaultKind::Hang, *now, |_| true).is_some()).collect();
    assert_eq!(at, [105]);
}

#[test]
fn two_faults_of_one_kind_both_see_each_occasion_and_one_takes_place() {
    let mut set = FaultSet::default();
    for spec in ["gpu:hang,after=2", "gpu:hang,after=2"] {
        set.give(&spec.parse().unwrap(), 0, 0).unwrap();
    }
    let struck: Vec<u64> = (0..4)
        .filter_map(|now| set.see(FaultKind::Hang, now, |_| true))
        .map(|struck| struck.occasion)
        .collect();
    assert_eq!(struck, [2, 3]);
    assert_eq!(set.count(), 2);
    assert!(set.see(FaultKind::Drop, 0, |_| true).is_none());
}

#[test]
fn what_is_written_is_what_is_meant() {
    for text in ["gpu:hang,after=3", "2:drop", "camera:drop,count=2,every=5", "gpu:irq-late,for=2ms,vector=1"]
    {
        let spec: FaultSpec = text.parse().unwrap();
        assert_eq!(spec.to_string(), text);
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<FaultSpec>(&json).unwrap(), spec);
    }
    assert_eq!("disk:irq-lost".parse::<FaultSpec>().unwrap().to_string(), "virtio-blk:irq-lost");
}

#[test]
fn mistakes_are_named_with_what_is_near() {
    for (text, said) in [
        ("hang", "'hang' is not TARGET:KIND; write one such as gpu:hang"),
        ("gup:hang", "did you mean gpu?"),
        ("32:hang", "there is no '32' here"),
        ("gpu:hnag", "did you mean hang?"),
        ("camera:hang", "a camera has no 'hang', there are "),
        ("gpu:hang,aftr=1", "did you mean after?"),
        ("gpu:hang,after=0", "after=0: write a whole number from 1 to"),
        ("gpu:hang,at=5", "at=5: write a time such as 2s or 1500ms, or +5ms from then on"),
        ("gpu:irq-late,for=+5ms", "for=+5ms: write a time such as 2s, 1500ms, 20us or 5ns"),
        ("gpu:hang,probability=0", "write a number above 0, at most 1"),
        ("gpu:hang,probability=1.1", "write a number above 0, at most 1"),
        ("gpu:hang,probability=0.0000001", "write a number above 0, at most 1"),
        ("gpu:hang,mark=256", "mark=256: write a whole number from 0 to 255"),
    ] {
        let why = text.parse::<FaultSpec>().unwrap_err();
        assert!(why.contains(said), "{text}: {why}");
        assert!(why.len() < 300, "{text}: {why}");
    }
}

#[test]
fn every_kind_has_a_name_of_its_own_and_keys_that_are_not_common() {
    for (index, kind) in KINDS.iter().enumerate() {
        assert_eq!(kind.kind.name(), kind.name, "a trace calls it so");
        assert!(
            KINDS[..index].iter().all(|other| other.name != kind.name || other.on != kind.on),
            "{}",
            kind.name
        );
        for key in kind.keys {
            assert!(COMMON.iter().all(|common| common.key != key.key), "{}: {}", kind.name, key.key);
        }
    }
}

#[test]
fn a_restored_set_goes_on_where_it_was() {
    let mut set = FaultSet::default();
    for spec in ["gpu:hang,every=3", "gpu:hang,probability=0.3"] {
        set.give(&spec.parse().unwrap(), 5, 0).unwrap();
    }
    let strikes = |set: &mut FaultSet| -> Vec<_> {
        (0..50).map(|now| set.see(FaultKind::Hang, now, |_| true)).collect()
    };
    strikes(&mut set);
    let bytes = postcard::to_stdvec(&set).unwrap();
    let mut again: FaultSet = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(again, set);
    assert_eq!(strikes(&mut again), strikes(&mut set));
}

#[test]
fn too_many_faults_are_refused() {
    let mut set = FaultSet::default();
    let spec: FaultSpec = "gpu:hang".parse().unwrap();
    let given = (0..100).filter(|_| set.give(&spec, 0, 0).is_ok()).count();
    assert_eq!(given, 64);
}
