//! Commands and what comes back, and what the host is shown. All numbers are restated from the standard (5.7).

mod commands;
mod cursor;
mod lives;
mod pieces;
mod random;

use std::sync::{Arc, Mutex};

use crate::display::{PictureSink, Scanned};
use crate::registry::Model;
use crate::virtio::testing::{Driver, Part};

use super::{GpuParts, VirtioGpu, VirtioGpuConfig};

/// Where commands, responses and pictures are in the guest's memory.
const REQUEST: u64 = 0x1000;
const RESPONSE: u64 = 0x4000;
const PICTURE: u64 = 0x1_0000;

const OK: u32 = 0x1100;
const UNSPEC: u32 = 0x1200;
const OUT_OF_MEMORY: u32 = 0x1201;
const SCANOUT_ID: u32 = 0x1202;
const RESOURCE_ID: u32 = 0x1203;
const PARAMETER: u32 = 0x1205;

/// A picture that the host was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shot {
    scanout: u32,
    frame: u64,
    flip: u64,
    fresh: bool,
    size: (u32, u32),
    crc: u32,
    pixels: Vec<u8>,
}

#[derive(Clone, Default)]
struct Shots(Arc<Mutex<Vec<Shot>>>);

impl PictureSink for Shots {
    fn picture(&mut self, it: &Scanned<'_>) {
        let size = (it.width_px, it.height_px);
        let &Scanned { scanout, frame, flip, fresh, crc, .. } = it;
        let shot = Shot { scanout, frame, flip, fresh, size, crc, pixels: it.xrgb.to_vec() };
        self.0.lock().unwrap().push(shot);
    }
}

struct Bench {
    driver: Driver,
    shots: Shots,
}

impl Bench {
    fn new(outputs: u32) -> Bench {
        let shots = Shots::default();
        let driver = Driver::new(Box::new(gpu(outputs, &shots)), 0);
        Bench { driver, shots }
    }

    /// The response to a command: its words behind the type, then `behind` in a part of its own.
    fn send_to(&mut self, queue: u16, kind: u32, words: &[u32], behind: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.resize(24, 0);
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self.raw(queue, &bytes, behind)
    }

    fn raw(&mut self, queue: u16, request: &[u8], behind: &[u8]) -> Vec<u8> {
        self.driver.store(REQUEST, request);
        self.driver.store(REQUEST + 0x1000, behind);
        let mut parts = vec![Part::Read(REQUEST, request.len() as u32)];
        if !behind.is_empty() {
            parts.push(Part::Read(REQUEST + 0x1000, behind.len() as u32));
        }
        parts.push(Part::Write(RESPONSE, 1500));
        let written = self.driver.request(queue, &parts).expect("an answer");
        self.driver.load(RESPONSE, written as usize)
    }

    /// The type of the response, which has nothing behind its header.
    fn send(&mut self, kind: u32, words: &[u32]) -> u32 {
        let response = self.send_to(0, kind, words, &[]);
        assert_eq!(response.len(), 24);
        word(&response, 0)
    }

    fn cursor(&mut self, kind: u32, words: &[u32]) -> u32 {
        word(&self.send_to(1, kind, words, &[]), 0)
    }

    /// Attaches runs of guest memory.
    fn attach(&mut self, id: u32, spans: &[(u64, u32)]) -> u32 {
        word(&self.send_to(0, 0x106, &[id, spans.len() as u32], &entries(spans)), 0)
    }

    fn blob(&mut self, id: u32, bytes: u64, spans: &[(u64, u32)]) -> u32 {
        let words = [id, 1, 2, spans.len() as u32, 0, 0, bytes as u32, (bytes >> 32) as u32];
        word(&self.send_to(0, 0x10c, &words, &entries(spans)), 0)
    }

    fn shots(&mut self) -> Vec<Shot> {
        std::mem::take(&mut *self.shots.0.lock().unwrap())
    }

    fn shot(&mut self) -> Shot {
        let mut shots = self.shots();
        assert_eq!(shots.len(), 1);
        shots.remove(0)
    }

    fn counter(&self, name: &str) -> u64 {
        self.driver.function.counters().iter().find(|counter| counter.name == name).unwrap().value
    }
}

fn gpu(outputs: u32, shots: &Shots) -> VirtioGpu {
    let config = VirtioGpuConfig { outputs, ..VirtioGpuConfig::default() };
    VirtioGpu::power_on(GpuParts { config, sink: Box::new(shots.clone()) }).unwrap()
}

fn entries(spans: &[(u64, u32)]) -> Vec<u8> {
    spans.iter().flat_map(|(at, len)| [&at.to_le_bytes()[..], &len.to_le_bytes(), &[0; 4]].concat()).collect()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}
