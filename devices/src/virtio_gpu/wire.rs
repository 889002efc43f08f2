//! Commands and responses as they are in memory (Virtual I/O Device 1.2, 5.7.6.7 to 5.7.6.10): all words are little-endian.

/// What a command asks for (`enum virtio_gpu_ctrl_type`).
pub mod command {
    /// Where the scan-outs are, and which are enabled.
    pub const GET_DISPLAY_INFO: u32 = 0x100;
    /// A new picture in the host's memory.
    pub const RESOURCE_CREATE_2D: u32 = 0x101;
    /// A resource goes.
    pub const RESOURCE_UNREF: u32 = 0x102;
    /// What a scan-out shows.
    pub const SET_SCANOUT: u32 = 0x103;
    /// What is shown has changed.
    pub const RESOURCE_FLUSH: u32 = 0x104;
    /// From the guest's memory to the host's picture.
    pub const TRANSFER_TO_HOST_2D: u32 = 0x105;
    /// Guest memory for a resource.
    pub const RESOURCE_ATTACH_BACKING: u32 = 0x106;
    /// No longer.
    pub const RESOURCE_DETACH_BACKING: u32 = 0x107;
    /// A scan-out's EDID.
    pub const GET_EDID: u32 = 0x10a;
    /// A new resource that is guest memory.
    pub const RESOURCE_CREATE_BLOB: u32 = 0x10c;
    /// What a scan-out shows, of such a resource.
    pub const SET_SCANOUT_BLOB: u32 = 0x10d;
    /// Another cursor.
    pub const UPDATE_CURSOR: u32 = 0x300;
    /// The cursor elsewhere.
    pub const MOVE_CURSOR: u32 = 0x301;
}

/// Offsets in a command: behind the header the first words that most commands share, and what is behind a rectangle.
pub mod place {
    /// Behind the header.
    pub const FIRST: usize = super::HEADER_BYTES;
    /// Behind the first word.
    pub const SECOND: usize = FIRST + 4;
    /// Behind a rectangle.
    pub const BEHIND_RECT: usize = FIRST + 16;
    /// Behind a rectangle and a word of 32 bits.
    pub const BEHIND_RECT_AND_WORD: usize = BEHIND_RECT + 4;
    /// Behind a rectangle and one of 64 bits.
    pub const BEHIND_RECT_AND_LONG: usize = BEHIND_RECT + 8;
}

/// Done, and nothing to say.
pub const OK_NODATA: u32 = 0x1100;
/// [`command::GET_DISPLAY_INFO`]'s answer.
pub const OK_DISPLAY_INFO: u32 = 0x1101;
/// [`command::GET_EDID`]'s answer.
pub const OK_EDID: u32 = 0x1104;

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A command that the device does not know, or memory that it may not reach.
    Unspecified = 0x1200,
    /// No room for what was asked for.
    OutOfMemory = 0x1201,
    /// There is no such scan-out.
    ScanoutId = 0x1202,
    /// There is no such resource, or there is one already.
    ResourceId = 0x1203,
    /// Anything else is wrong.
    Parameter = 0x1205,
}

/// The command has a fence (VIRTIO_GPU_FLAG_FENCE): its response carries it.
pub const FLAG_FENCE: u32 = 1;
/// The response names the timeline of the fence (VIRTIO_GPU_FLAG_INFO_RING_IDX).
pub const FLAG_RING_INDEX: u32 = 2;
/// Bytes of `struct virtio_gpu_ctrl_hdr`.
pub const HEADER_BYTES: usize = 24;
/// The longest command without the memory entries behind it: [`command::SET_SCANOUT_BLOB`].
pub const REQUEST_MAX_BYTES: usize = 96;
/// Bytes of `struct virtio_gpu_mem_entry`.
pub const ENTRY_BYTES: usize = 16;
/// Scan-outs in [`OK_DISPLAY_INFO`] (VIRTIO_GPU_MAX_SCANOUTS).
pub const SCANOUTS_IN_INFO: usize = 16;
/// Bytes for the EDID in [`OK_EDID`].
pub const EDID_ROOM_BYTES: usize = 1024;

/// The head of a command: at most [`REQUEST_MAX_BYTES`] of it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a>(pub &'a [u8]);

impl Request<'_> {
    /// The word at `offset`; zero beyond the end.
    pub fn word(&self, offset: usize) -> u32 {
        let bytes = self.0.get(offset..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// The 64-bit word at `offset`; zero beyond the end.
    pub fn long(&self, offset: usize) -> u64 {
        let bytes = self.0.get(offset..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// What it asks for.
    pub fn command(&self) -> u32 {
        self.word(0)
    }

    /// Its fence, if it has one.
    pub fn fence(&self) -> Option<u64> {
        (self.word(4) & FLAG_FENCE != 0).then(|| self.long(8))
    }

    /// The four words at `offset`.
    pub fn words(&self, offset: usize) -> [u32; 4] {
        [0, 4, 8, 12].map(|at| self.word(offset.saturating_add(at)))
    }

    /// The rectangle at `offset`: x, y, width, height.
    pub fn rect(&self, offset: usize) -> Rect {
        let [x, y, width, height] = self.words(offset);
        Rect { x, y, width, height }
    }

    /// Bytes that the command it names has at least; none for a command that is not known.
    pub fn expected_bytes(&self) -> Option<usize> {
        use command::*;
        Some(match self.command() {
            GET_DISPLAY_INFO => HEADER_BYTES,
            RESOURCE_CREATE_2D => 40,
            RESOURCE_UNREF | RESOURCE_ATTACH_BACKING | RESOURCE_DETACH_BACKING | GET_EDID => 32,
            SET_SCANOUT | RESOURCE_FLUSH => 48,
            TRANSFER_TO_HOST_2D | RESOURCE_CREATE_BLOB | UPDATE_CURSOR | MOVE_CURSOR => 56,
            SET_SCANOUT_BLOB => 96,
            _ => return None,
        })
    }

    /// A response of type `kind` with `body`: the fence comes back with it.
    pub fn response(&self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        let fenced = self.word(4) & (FLAG_FENCE | FLAG_RING_INDEX);
        let put = |bytes: &mut Vec<u8>, at: usize, data: &[u8]| {
            bytes.iter_mut().skip(at).zip(data).for_each(|(to, from)| *to = *from);
        };
        put(&mut bytes, 0, &kind.to_le_bytes());
        if self.fence().is_some() {
            put(&mut bytes, 4, &fenced.to_le_bytes());
            put(&mut bytes, 8, self.0.get(8..21).unwrap_or_default());
        }
        bytes.extend(body);
        bytes
    }
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rect {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Rect {
    /// Pixels in it.
    pub fn area(&self) -> u64 {
        u64::from(self.width).saturating_mul(self.height.into())
    }

    /// Whether all of it is in a picture of this size, and it is not empty.
    pub fn is_within(&self, width: u32, height: u32) -> bool {
        let inside =
            |start: u32, len: u32, all: u32| len > 0 && start.checked_add(len).is_some_and(|end| end <= all);
        inside(self.x, self.width, width) && inside(self.y, self.height, height)
    }

    /// What of it is in `other` too, if anything.
    pub fn and(&self, other: &Rect) -> Option<Rect> {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let end = |start: u32, len: u32| start.saturating_add(len);
        let right = end(self.x, self.width).min(end(other.x, other.width));
        let bottom = end(self.y, self.height).min(end(other.y, other.height));
        let (width, height) = (right.checked_sub(x)?, bottom.checked_sub(y)?);
        (width > 0 && height > 0).then_some(Rect { x, y, width, height })
    }

    /// As 16 bytes.
    pub fn bytes(&self) -> Vec<u8> {
        [self.x, self.y, self.width, self.height].iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}
