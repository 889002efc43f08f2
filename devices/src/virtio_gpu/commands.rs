//! The commands, carried out.

use fencepost_trace::Event;

use super::config::monitor;
use super::moves::{self, Move};
use super::pixels::Format;
use super::resource::{Backing, Content, MEMORY_MAX_BYTES, PIXELS_MAX, picture_bytes};
use super::scanout::View;
use super::state::GpuState;
use super::wire::place::{BEHIND_RECT, BEHIND_RECT_AND_WORD, FIRST, SECOND};
use super::wire::{
    EDID_ROOM_BYTES, ENTRY_BYTES, OK_DISPLAY_INFO, OK_EDID, OK_NODATA, Rect, Refusal, Request,
    SCANOUTS_IN_INFO, command,
};
use crate::display::{PictureSink, edid};
use crate::ports::Ports;
use crate::virtio::Chain;

/// A response's type and what follows its header.
pub type Answer = Result<(u32, Vec<u8>), Refusal>;

/// Of RESOURCE_CREATE_BLOB: the size, and how long it is without its entries.
const BLOB_SIZE: usize = 48;
const BLOB_BYTES: u64 = 56;
/// How long RESOURCE_ATTACH_BACKING is without its entries.
const ATTACH_BYTES: u64 = 32;
/// VIRTIO_GPU_BLOB_MEM_GUEST: memory of the guest.
const BLOB_MEM_GUEST: u32 = 1;

const DONE: Answer = Ok((OK_NODATA, Vec::new()));

/// What a command works on.
pub struct Desk<'a, 'p> {
    pub state: &'a mut GpuState,
    pub sink: &'a mut dyn PictureSink,
    pub ports: &'a mut Ports<'p>,
}

impl Desk<'_, '_> {
    /// Carries out a command of the control queue.
    pub fn control(&mut self, request: &Request<'_>, chain: &Chain) -> Answer {
        match request.command() {
            command::GET_DISPLAY_INFO => Ok((OK_DISPLAY_INFO, self.display_info())),
            command::RESOURCE_CREATE_2D => self.create_2d(request),
            command::RESOURCE_UNREF => self.unref(request.word(FIRST)),
            command::SET_SCANOUT => self.set_scanout(request),
            // What it shows was fetched and shown before.
            command::RESOURCE_FLUSH => moves::flush(self.state, request).and(DONE),
            // What it copies was moved before.
            command::TRANSFER_TO_HOST_2D => moves::transfer(self.state, request).and(DONE),
            command::RESOURCE_ATTACH_BACKING => self.attach(request, chain),
            command::RESOURCE_DETACH_BACKING => self.detach(request.word(FIRST)),
            command::GET_EDID => self.edid(request.word(FIRST)),
            command::RESOURCE_CREATE_BLOB => self.create_blob(request, chain),
            command::SET_SCANOUT_BLOB => self.set_scanout_blob(request),
            _ => Err(Refusal::Unspecified),
        }
    }

    /// Carries out a command of the cursor's queue.
    pub fn cursor(&mut self, request: &Request<'_>) -> Answer {
        let number = request.word(FIRST);
        let update = match request.command() {
            command::UPDATE_CURSOR => true,
            command::MOVE_CURSOR => false,
            _ => return Err(Refusal::Unspecified),
        };
        let scanout = self.state.scanouts.get_mut(number as usize).ok_or(Refusal::ScanoutId)?;
        if update {
            match request.word(40) {
                0 => scanout.cursor.pixels.clear(),
                id => scanout.cursor.take(self.state.resources.get(id)?, self.ports.dma)?,
            }
        }
        (scanout.cursor.x, scanout.cursor.y) = (request.word(SECOND) as i32, request.word(SECOND + 4) as i32);
        // A picture that is half fetched is shown with its cursor once it is whole.
        let half = self.state.jobs.iter().flatten().any(|job| job.fetches(number));
        if (update || scanout.cursor.is_visible()) && !half {
            scanout.show_again(number, self.sink, self.ports);
        }
        DONE
    }

    fn display_info(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut x = 0u32;
        for scanout in &self.state.scanouts {
            // Side by side, as monitors are.
            let (width, height) = scanout.preferred;
            let enabled = u32::from(width > 0 && height > 0);
            body.extend(Rect { x, y: 0, width, height }.bytes());
            body.extend(enabled.to_le_bytes());
            body.extend([0; 4]);
            x = x.saturating_add(width);
        }
        body.resize(SCANOUTS_IN_INFO.saturating_mul(24), 0);
        body
    }

    fn edid(&self, number: u32) -> Answer {
        let scanout = self.state.scanouts.get(number as usize).ok_or(Refusal::ScanoutId)?;
        let block =
            monitor(scanout.preferred.0, scanout.preferred.1).map(|config| edid::build(&config).to_vec());
        let block = block.unwrap_or_default();
        let mut body = (block.len() as u32).to_le_bytes().to_vec();
        body.extend([0; 4]);
        body.extend(block);
        body.resize(EDID_ROOM_BYTES.saturating_add(8), 0);
        Ok((OK_EDID, body))
    }

    fn create_2d(&mut self, request: &Request<'_>) -> Answer {
        let [id, format, width, height] = request.words(FIRST);
        self.state.resources.check_new(id)?;
        let format = Format::of(format).ok_or(Refusal::Parameter)?;
        let rect = Rect { x: 0, y: 0, width, height };
        if rect.area() == 0 {
            return Err(Refusal::Parameter);
        }
        let bytes = picture_bytes(width, height);
        if rect.area() > PIXELS_MAX || self.state.host_bytes().saturating_add(bytes) > MEMORY_MAX_BYTES {
            return Err(Refusal::OutOfMemory);
        }
        let pixels = vec![0; bytes as usize];
        self.state.resources.add(id, Content::Host { format, width, height, pixels })?;
        DONE
    }

    fn unref(&mut self, id: u32) -> Answer {
        self.state.resources.0.remove(&id).ok_or(Refusal::ResourceId)?;
        for number in 0..self.state.scanouts.len() as u32 {
            self.leave(number, id);
        }
        DONE
    }

    /// Turns scan-out `number` off if it shows resource `id`.
    fn leave(&mut self, number: u32, id: u32) {
        if let Some(scanout) = self.state.scanouts.get_mut(number as usize)
            && scanout.view.as_ref().is_some_and(|view| view.resource == id)
        {
            self.turn_off(number);
        }
    }

    fn turn_off(&mut self, number: u32) {
        if let Some(scanout) = self.state.scanouts.get_mut(number as usize) {
            scanout.turn_off(number, self.sink, self.ports);
        }
    }

    fn set_scanout(&mut self, request: &Request<'_>) -> Answer {
        let (rect, number, id) =
            (request.rect(FIRST), request.word(BEHIND_RECT), request.word(BEHIND_RECT_AND_WORD));
        self.check_scanout(number)?;
        if id == 0 {
            self.turn_off(number);
            return DONE;
        }
        let Content::Host { format, width, height, .. } = self.state.resources.get(id)?.content else {
            // Guest memory has no size of its own: SET_SCANOUT_BLOB brings it.
            return Err(Refusal::Parameter);
        };
        if !rect.is_within(width, height) {
            return Err(Refusal::Parameter);
        }
        let stride = picture_bytes(width, 1) as u32;
        self.show(number, View { resource: id, rect, format, stride, offset: 0, is_new: true })
    }

    fn set_scanout_blob(&mut self, request: &Request<'_>) -> Answer {
        let (rect, number, id) =
            (request.rect(FIRST), request.word(BEHIND_RECT), request.word(BEHIND_RECT_AND_WORD));
        self.check_scanout(number)?;
        if id == 0 {
            self.turn_off(number);
            return DONE;
        }
        let [width, height, format] = [48, 52, 56].map(|at| request.word(at));
        let (stride, offset) = (request.word(64), u64::from(request.word(80)));
        let Content::Guest { bytes } = self.state.resources.get(id)?.content else {
            return Err(Refusal::Parameter);
        };
        let format = Format::of(format).ok_or(Refusal::Parameter)?;
        let row = picture_bytes(width, 1);
        let end = u64::from(stride).saturating_mul(u64::from(height).saturating_sub(1));
        let end = end.saturating_add(row).saturating_add(offset);
        if !rect.is_within(width, height) || row > u64::from(stride) || end > bytes {
            return Err(Refusal::Parameter);
        }
        self.show(number, View { resource: id, rect, format, stride, offset, is_new: true })
    }

    fn check_scanout(&self, number: u32) -> Result<(), Refusal> {
        self.state.scanouts.get(number as usize).map(|_| ()).ok_or(Refusal::ScanoutId)
    }

    /// From the next flush on, scan-out `number` shows `view`.
    fn show(&mut self, number: u32, view: View) -> Answer {
        let (area, others) = (view.rect.area(), self.state.host_bytes());
        let scanout = self.state.scanouts.get_mut(number as usize).ok_or(Refusal::ScanoutId)?;
        let bytes = picture_bytes(view.rect.width, view.rect.height);
        let others = others.saturating_sub(scanout.picture.len() as u64);
        if area > PIXELS_MAX || others.saturating_add(bytes) > MEMORY_MAX_BYTES {
            return Err(Refusal::OutOfMemory);
        }
        scanout.resize(bytes as usize);
        scanout.view = Some(view);
        DONE
    }

    /// A scan-out begins to fetch what has changed.
    pub fn latch(&mut self, it: &Move) {
        let Some(number) = it.scanout else { return };
        let Some(scanout) = self.state.scanouts.get(number as usize) else { return };
        let engine = self.ports.engine(super::core::ENGINE);
        let (frame, flip) = (scanout.shown.saturating_add(1), scanout.flips.saturating_add(1));
        self.ports.trace.record(Event::Latch { engine, frame, commit: flip });
        if scanout.view.as_ref().is_some_and(|view| view.is_new) {
            self.ports.trace.record(Event::Flip { engine, frame, flip });
        }
    }

    /// A scan-out has fetched what has changed, and shows it.
    pub fn show_fetched(&mut self, it: &Move) {
        if let Some(number) = it.scanout
            && let Some(scanout) = self.state.scanouts.get_mut(number as usize)
            && let Some(view) = &mut scanout.view
        {
            view.is_new = false;
            let size = (view.rect.width, view.rect.height);
            scanout.show(number, size, self.sink, self.ports);
        }
    }

    /// The memory entries behind the first `skip` bytes of a command.
    fn entries(&mut self, chain: &Chain, skip: u64, count: u32) -> Result<Backing, Refusal> {
        self.state.resources.check_entries(count)?;
        let mut bytes = vec![0; (count as usize).saturating_mul(ENTRY_BYTES)];
        let read = chain.read(self.ports.dma, skip, &mut bytes).map_err(|_| Refusal::Unspecified)?;
        if read < bytes.len() { Err(Refusal::Parameter) } else { Ok(Backing::parse(&bytes)) }
    }

    fn attach(&mut self, request: &Request<'_>, chain: &Chain) -> Answer {
        let (id, count) = (request.word(FIRST), request.word(SECOND));
        let resource = self.state.resources.get(id)?;
        if resource.backing.bytes() > 0 || matches!(resource.content, Content::Guest { .. }) {
            return Err(Refusal::Unspecified);
        }
        let backing = self.entries(chain, ATTACH_BYTES, count)?;
        self.state.resources.get_mut(id)?.backing = backing;
        DONE
    }

    fn detach(&mut self, id: u32) -> Answer {
        let resource = self.state.resources.get_mut(id)?;
        if matches!(resource.content, Content::Guest { .. }) {
            return Err(Refusal::Unspecified);
        }
        resource.backing = Backing::default();
        DONE
    }

    fn create_blob(&mut self, request: &Request<'_>, chain: &Chain) -> Answer {
        let [id, memory, _, count] = request.words(FIRST);
        let bytes = request.long(BLOB_SIZE);
        self.state.resources.check_new(id)?;
        if memory != BLOB_MEM_GUEST || bytes == 0 {
            return Err(Refusal::Parameter);
        }
        let backing = self.entries(chain, BLOB_BYTES, count)?;
        if bytes > backing.bytes() {
            return Err(Refusal::Parameter);
        }
        self.state.resources.add(id, Content::Guest { bytes })?;
        self.state.resources.get_mut(id)?.backing = backing;
        DONE
    }
}
