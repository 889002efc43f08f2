//! Resources that go, resets, monitors that change, and states.

use crate::parameters::{Parameters, parse};
use crate::registry::{Model, NoHost, find};
use crate::state::{StateError, Stateful};
use crate::virtio::testing::Part;

use super::*;

fn shown(bench: &mut Bench) {
    bench.driver.store(PICTURE, &[5; 16]);
    assert_eq!(bench.send(0x101, &[1, 1, 2, 2]), OK);
    assert_eq!(bench.attach(1, &[(PICTURE, 16)]), OK);
    assert_eq!(bench.send(0x105, &[0, 0, 2, 2, 0, 0, 1, 0]), OK);
    assert_eq!(bench.send(0x103, &[0, 0, 2, 2, 1, 1]), OK);
    assert_eq!(bench.send(0x104, &[0, 0, 2, 2, 1, 0]), OK);
    let shot = bench.shot();
    assert_eq!((shot.scanout, shot.frame, shot.pixels), (1, 1, [5, 5, 5, 0].repeat(4)));
}

#[test]
fn a_resource_that_goes_takes_its_picture_with_it() {
    for end in [
        (0x102, &[1, 0][..]),
        (0x103, &[0, 0, 0, 0, 1, 0]),
        (0x10d, &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        let mut bench = Bench::new(2);
        shown(&mut bench);
        assert_eq!(bench.send(end.0, end.1), OK);
        let shot = bench.shot();
        assert_eq!((shot.scanout, shot.frame, shot.size, shot.pixels), (1, 2, (2, 2), vec![0; 16]));
        if end.0 == 0x102 {
            assert_eq!(bench.send(0x104, &[0, 0, 2, 2, 1, 0]), RESOURCE_ID);
        } else {
            assert_eq!(bench.send(0x104, &[0, 0, 2, 2, 1, 0]), OK);
        }
        assert!(bench.shots().is_empty());
    }
}

#[test]
fn a_reset_forgets_everything_of_the_guests() {
    let mut bench = Bench::new(2);
    shown(&mut bench);
    bench.driver.store(REQUEST, &[0, 1]);
    bench.driver.add(0, &[Part::Read(REQUEST, 24), Part::Write(RESPONSE, 408)]);
    bench.driver.kick(0);
    bench.driver.store(RESPONSE, &[0xee; 24]);
    bench.driver.restart();
    bench.driver.wait(1_000_000_000);
    assert_eq!(bench.driver.load(RESPONSE, 24), [0xee; 24]);
    assert_eq!((bench.shot().pixels, bench.counter("resources")), (vec![0; 16], 0));
    assert_eq!(bench.send(0x104, &[0, 0, 2, 2, 1, 0]), RESOURCE_ID);
}

#[test]
fn the_host_changes_a_monitor() {
    let mut bench = Bench::new(2);
    let say = |bench: &mut Bench, words: &[u32]| {
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let taken = bench.driver.function.inbox().unwrap().receive(&data, &mut bench.driver.world.ports());
        assert_eq!(taken, data.len());
        bench.driver.config(0, 4)
    };
    // No such scan-out, too small, too large for an EDID, and a word too few.
    for wrong in [&[2, 640, 480][..], &[0, 63, 480], &[0, 5000, 5000], &[0, 640]] {
        assert_eq!(say(&mut bench, wrong), 0);
    }
    assert_eq!(bench.counter("malformed"), 4);
    assert!(bench.driver.world.take_raised().is_empty());
    assert_eq!(say(&mut bench, &[0, 640, 480, 1, 0, 0]), 1, "EVENT_DISPLAY");
    assert_eq!(bench.driver.world.take_raised(), [2], "the configuration's vector");
    bench.driver.write(0x2004, 4, 1);
    assert_eq!(bench.driver.config(0, 4), 0);
    let info = bench.send_to(0, 0x100, &[], &[]);
    assert_eq!((word(&info, 32), word(&info, 36), word(&info, 40)), (640, 480, 1));
    assert_eq!(word(&info, 24 + 24 + 16), 0, "the second one is gone");
    assert_eq!(word(&bench.send_to(0, 0x10a, &[1, 0], &[]), 24), 0, "it has no EDID");
    bench.driver.restart();
    assert_eq!(word(&bench.send_to(0, 0x100, &[], &[]), 32), 640, "a reset is not the host's");
}

#[test]
fn impossible_states_are_refused() {
    let restore = |change: &dyn Fn(&mut crate::virtio_gpu::GpuState)| {
        let mut bench = Bench::new(2);
        shown(&mut bench);
        let gpu = bench.driver.function.as_any().downcast_mut::<VirtioGpu>().unwrap();
        let mut state = gpu.save();
        change(&mut state.device);
        let config = VirtioGpuConfig { outputs: 2, ..VirtioGpuConfig::default() };
        VirtioGpu::restore(GpuParts { config, sink: Box::new(Shots::default()) }, state)
    };
    assert!(restore(&|_| {}).is_ok());
    let changes: [&dyn Fn(&mut crate::virtio_gpu::GpuState); 5] = [
        &|state| _ = state.scanouts.pop(),
        &|state| _ = state.scanouts[1].picture.pop(),
        &|state| state.scanouts[0].cursor.pixels.push(1),
        &|state| state.resources.0.clear(),
        &|state| state.scanouts[1].view.as_mut().unwrap().rect.width = 4,
    ];
    for change in changes {
        assert!(matches!(restore(change), Err(StateError::Impossible { kind: "virtio-gpu", .. })));
    }
}

#[test]
fn it_is_in_the_list() {
    let built = find("virtio-gpu").unwrap().build(&Parameters::new(), &mut NoHost).unwrap();
    // Virtual I/O Device 1.2, 4.1.2 and 5: 0x1040 and the type, 16.
    assert_eq!((built.identity().ids.vendor, built.identity().ids.device), (0x1af4, 0x1050));
    let large = parse("width=4095,height=4095", VirtioGpu::PARAMETERS).unwrap();
    let refused = find("virtio-gpu").unwrap().build(&large, &mut NoHost).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("4095x4095"), "{refused}");
}
