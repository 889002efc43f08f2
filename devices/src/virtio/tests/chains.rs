//! Queues and chains; the oracle is the crate `virtio-queue`.

use virtio_queue::{Queue as OtherQueue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::testing::{Random, World};
use crate::virtio::{Chain, Queue, QueueError, Span};

const TABLE: u64 = 0x1000;
const DRIVER: u64 = 0x2000;
const DEVICE: u64 = 0x3000;
const INDIRECT: u64 = 0x4000;
const MEMORY: usize = 0x8000;
const SIZE: u16 = 16;

fn queue() -> Queue {
    let mut queue = Queue::new(SIZE);
    (queue.descriptors, queue.driver, queue.device, queue.enabled) = (TABLE, DRIVER, DEVICE, true);
    queue
}

fn put(world: &mut World, at: u64, bytes: &[u8]) {
    world.memory_mut()[at as usize..][..bytes.len()].copy_from_slice(bytes);
}

fn descriptor(world: &mut World, table: u64, index: u16, iova: u64, bytes: u32, flags: u16, next: u16) {
    let at = table + 16 * u64::from(index);
    put(world, at, &iova.to_le_bytes());
    put(world, at + 8, &bytes.to_le_bytes());
    put(world, at + 12, &flags.to_le_bytes());
    put(world, at + 14, &next.to_le_bytes());
}

fn available(world: &mut World, heads: &[u16]) {
    for (slot, head) in heads.iter().enumerate() {
        put(world, DRIVER + 4 + 2 * slot as u64, &head.to_le_bytes());
    }
    put(world, DRIVER + 2, &(heads.len() as u16).to_le_bytes());
}

fn pop(queue: &mut Queue, world: &mut World) -> Result<Option<Chain>, QueueError> {
    queue.pop(world.ports().dma, false)
}

/// Tables whose chains mostly end, with what virtio allows and what it does not.
fn random_tables(dice: &mut Random, world: &mut World) {
    for (table, count) in [(TABLE, SIZE), (INDIRECT, 8)] {
        for index in 0..count {
            let more = u16::from(dice.below(3) != 0);
            let write = 2 * u16::from(index >= count / 2 || dice.below(16) == 0);
            let indirect = table == TABLE && dice.below(6) == 0;
            let next = if dice.below(10) == 0 { dice.below(20) as u16 } else { (index + 1) % count };
            if indirect {
                descriptor(world, table, index, INDIRECT, 16 * dice.below(9) as u32, 4, 0);
            } else {
                let bytes = 1 + dice.below(300) as u32;
                descriptor(world, table, index, 0x5000 + dice.below(0x1000), bytes, write | more, next);
            }
        }
    }
}

#[test]
fn the_chains_are_those_of_the_crate_virtio_queue() {
    let mut dice = Random::new(0xc4a1);
    let (mut equal, mut refused) = (0, 0);
    for _ in 0..4000 {
        let mut world = World::new(MEMORY);
        random_tables(&mut dice, &mut world);
        let head = dice.below(SIZE.into()) as u16;
        available(&mut world, &[head]);
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
        memory.write_slice(world.memory_mut(), GuestAddress(0)).unwrap();
        let mut other = OtherQueue::new(SIZE).unwrap();
        other.set_desc_table_address(Some(TABLE as u32), Some(0));
        other.set_avail_ring_address(Some(DRIVER as u32), Some(0));
        other.set_used_ring_address(Some(DEVICE as u32), Some(0));
        other.set_ready(true);
        let theirs = other.iter(&memory).unwrap().next().unwrap();
        assert_eq!(theirs.head_index(), head);
        let theirs: Vec<(Span, bool)> =
            theirs.map(|it| (Span { iova: it.addr().0, bytes: it.len() }, it.is_write_only())).collect();
        match pop(&mut queue(), &mut world) {
            Ok(chain) => {
                let chain = chain.unwrap();
                let read = chain.readable.iter().map(|&span| (span, false));
                let ours: Vec<(Span, bool)> =
                    read.chain(chain.writable.iter().map(|&span| (span, true))).collect();
                assert_eq!(ours, theirs);
                equal += 1;
            }
            // That crate ends such a chain early, and leaves it to the device to notice.
            Err(_) => refused += 1,
        }
    }
    assert!(equal > 1000 && refused > 200, "{equal} equal, {refused} refused");
}

#[test]
fn chains_that_are_none_break_the_queue() {
    type Make = fn(&mut World);
    let cases: [(Make, &str); 8] = [
        (|world| descriptor(world, TABLE, 0, 0x5000, 8, 1, 0), "has no end"),
        (|world| descriptor(world, TABLE, 0, 0x5000, 8, 1, SIZE), "leaves its table"),
        (
            |world| {
                descriptor(world, TABLE, 0, 0x5000, 8, 3, 1);
                descriptor(world, TABLE, 1, 0x5000, 8, 0, 0);
            },
            "has a part to read behind one to write",
        ),
        (|world| descriptor(world, TABLE, 0, INDIRECT, 24, 4, 0), "has an indirect table of no use"),
        (|world| descriptor(world, TABLE, 0, INDIRECT, 0, 4, 0), "has an indirect table of no use"),
        (|world| descriptor(world, TABLE, 0, INDIRECT, 16, 5, 0), "has an indirect table where none may be"),
        (|world| descriptor(world, TABLE, 0, INDIRECT, 16, 6, 0), "has an indirect table where none may be"),
        (
            |world| {
                descriptor(world, TABLE, 0, INDIRECT, 16, 4, 0);
                descriptor(world, INDIRECT, 0, INDIRECT, 16, 4, 0);
            },
            "has an indirect table where none may be",
        ),
    ];
    for (make, why) in cases {
        let mut world = World::new(MEMORY);
        make(&mut world);
        available(&mut world, &[0]);
        assert_eq!(pop(&mut queue(), &mut world), Err(QueueError::Chain(why)));
    }
}

#[test]
fn an_index_too_far_ahead_breaks_the_queue() {
    let mut world = World::new(MEMORY);
    put(&mut world, DRIVER + 2, &(SIZE + 1).to_le_bytes());
    assert_eq!(pop(&mut queue(), &mut world), Err(QueueError::TooMany(SIZE + 1, SIZE)));
}

#[test]
fn parts_of_a_chain_are_read_and_written_across_its_spans() {
    let mut world = World::new(MEMORY);
    let span = |iova, bytes| Span { iova, bytes };
    let chain = Chain {
        head: 0,
        readable: vec![span(0x5000, 3), span(0x6000, 0), span(0x5ffe, 4)],
        writable: vec![span(0x7000, 2), span(0x7010, 5)],
    };
    put(&mut world, 0x5000, b"abc");
    put(&mut world, 0x5ffe, b"defg");
    let mut data = [0; 10];
    assert_eq!(chain.read(world.ports().dma, 2, &mut data), Ok(5));
    assert_eq!(&data, b"cdefg\0\0\0\0\0");
    assert_eq!(chain.read_all(world.ports().dma, 4), Ok(b"abcd".to_vec()));
    assert_eq!(chain.write(world.ports().dma, 1, b"123456789"), Ok(6));
    assert_eq!(&world.memory_mut()[0x7000..0x7003], b"\x001\0");
    assert_eq!(&world.memory_mut()[0x7010..0x7016], b"23456\0");
    assert_eq!((chain.readable_bytes(), chain.writable_bytes()), (7, 7));
}

/// 2.7.7.2 and 2.7.8, with the other crate's answers.
#[test]
fn interrupts_are_wanted_when_the_crate_virtio_queue_says_so() {
    let mut dice = Random::new(0xe7e7);
    for event_index in [false, true] {
        let mut world = World::new(MEMORY);
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
        let (mut ours, mut theirs) = (queue(), OtherQueue::new(SIZE).unwrap());
        theirs.set_desc_table_address(Some(TABLE as u32), Some(0));
        theirs.set_avail_ring_address(Some(DRIVER as u32), Some(0));
        theirs.set_used_ring_address(Some(DEVICE as u32), Some(0));
        theirs.set_event_idx(event_index);
        theirs.set_ready(true);
        let mut wanted = 0;
        for _ in 0..5000 {
            for _ in 0..dice.below(4) {
                let (head, written) = (dice.below(SIZE.into()) as u16, dice.bits() as u32);
                ours.push(world.ports().dma, head, written).unwrap();
                theirs.add_used(&memory, head, written).unwrap();
            }
            let flags = dice.below(2) as u16;
            let event = ours.next_used.wrapping_sub(dice.below(6) as u16);
            put(&mut world, DRIVER, &flags.to_le_bytes());
            put(&mut world, DRIVER + 4 + 2 * u64::from(SIZE), &event.to_le_bytes());
            memory.write_obj(flags, GuestAddress(DRIVER)).unwrap();
            memory.write_obj(event, GuestAddress(DRIVER + 4 + 2 * u64::from(SIZE))).unwrap();
            let pushed = ours.announced != ours.next_used;
            let asked = ours.wants_interrupt(world.ports().dma, event_index).unwrap();
            // That crate does not look at VIRTQ_AVAIL_F_NO_INTERRUPT.
            let suppressed = !event_index && flags == 1;
            let expected = pushed && !suppressed && theirs.needs_notification(&memory).unwrap();
            assert_eq!(asked, expected);
            wanted += u32::from(asked);
        }
        assert!((500..4500).contains(&wanted), "{wanted}");
        let mut ring = [0; 4 + 8 * SIZE as usize];
        memory.read_slice(&mut ring, GuestAddress(DEVICE)).unwrap();
        assert_eq!(world.memory_mut()[DEVICE as usize..][..ring.len()], ring);
    }
}

#[test]
fn a_queue_may_be_full() {
    let mut world = World::new(MEMORY);
    let heads: Vec<u16> = (0..SIZE).rev().collect();
    heads.iter().for_each(|&head| descriptor(&mut world, TABLE, head, 0x5000, 1, 0, 0));
    available(&mut world, &heads);
    let mut queue = queue();
    let taken: Vec<u16> =
        std::iter::from_fn(|| pop(&mut queue, &mut world).unwrap()).map(|chain| chain.head).collect();
    assert_eq!(taken, heads);
}

#[test]
fn a_queue_of_another_size_is_impossible() {
    let of = |size| Queue { size, ..queue() };
    assert!(queue().is_possible(SIZE) && of(1).is_possible(SIZE));
    assert!(!queue().is_possible(2 * SIZE) && !queue().is_possible(SIZE / 2));
    for size in [0, 3, SIZE - 1, 2 * SIZE] {
        assert!(!of(size).is_possible(SIZE), "{size}");
    }
}
