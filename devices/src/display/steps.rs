//! A head makes its frames, step by step.

use fencepost_trace::FaultKind;

use super::color::ColorRegs;
use super::compose::Strip;
use super::engine::Head;
use super::kept::{KeptFrame, Which};
use super::layer::FetchError;
use super::making::{self, Making, SUM_BYTES, SoFar, Step};
use super::plane::Planes;
use super::registers::{ErrorBits, Irq, Size};
use super::scan::Shown;
use super::state::HeadState;
use super::writeback::Writing;
use crate::ports::Ports;
use crate::sg::{SG_ENTRY_BYTES, SgList};

impl Head {
    /// The fetch of a frame has ended, or more of it is to be made: does as much as one call does.
    pub(super) fn go_on(&mut self, ports: &mut Ports<'_>) {
        if self.state.making.is_none() && !self.begin(ports) {
            return;
        }
        let read = self.state.shown.as_ref().map_or(0, Shown::span_bytes);
        let enough_ns = making::enough_ns(read.saturating_add(self.picture_bytes() as u64));
        let mut spent_ns = 0;
        while spent_ns < enough_ns
            && let Some(making) = self.state.making.take()
        {
            self.state.making = self.step(making, &mut spent_ns, ports);
        }
        self.arm(ports);
    }

    /// Begins to make the frame whose fetch has ended, if there is one and its pixels arrive.
    fn begin(&mut self, ports: &mut Ports<'_>) -> bool {
        let Some(frame) = self.state.fetching else { return false };
        if ports.fault(FaultKind::Underrun).is_some() {
            self.state.fetching = None;
            self.finish(frame, Err(FetchError { bit: ErrorBits::LATE, iova: None }), ports);
            self.arm(ports);
            return false;
        }
        if self.picture.len() != self.picture_bytes() {
            self.picture = vec![0; self.picture_bytes()];
        }
        self.state.making = Some(Making::new(ports.clock.now().ns));
        true
    }

    /// What was read of the frame that is being made is read again.
    pub(super) fn begin_again(&mut self) {
        if let Some(making) = &mut self.state.making {
            making.next = Step::Fetch { layer: 0, at: 0 };
        }
    }

    fn step(&mut self, making: Making, spent_ns: &mut u64, ports: &mut Ports<'_>) -> Option<Making> {
        let active = self.state.raster?.mode.active;
        let (next, ns) = match making.next {
            Step::Fetch { layer, at } => match self.read_piece(layer, at, active, ports) {
                Ok(done) => done,
                Err(error) => {
                    let frame = self.state.fetching.take()?;
                    self.finish(frame, Err(error), ports);
                    return None;
                }
            },
            Step::Compose { line } => self.compose_lines(line, active),
            Step::Sum { at, crc } => self.sum(at, crc, ports)?,
            Step::Write { list, line } => self.write_lines(list, line, active, ports)?,
        };
        *spent_ns = spent_ns.saturating_add(ns);
        Some(Making { next, ..making })
    }

    /// Reads a piece of a layer; what comes next, and what that took.
    fn read_piece(
        &mut self,
        number: u8,
        at: u64,
        active: Size,
        ports: &mut Ports<'_>,
    ) -> Result<(Step, u64), FetchError> {
        let behind_all = Step::Compose { line: 0 };
        let Some(shown) = &self.state.shown else { return Ok((behind_all, 0)) };
        let Some((index, layer)) = making::layer(&shown.planes, number) else { return Ok((behind_all, 0)) };
        let which = if number % 2 == 0 { Which::Pixels } else { Which::Chroma };
        let place = layer.zip(shown.list_of(index, which));
        let (to, ns) = place.map_or((0, 0), |(layer, list)| layer.piece(list, at));
        let are_all = shown.is_one_plane(active);
        self.kept.fetch((index, which), place, (at, to), are_all, ports)?;
        let behind = number.saturating_add(1);
        let next = match place {
            Some((layer, _)) if to < layer.span_bytes() => Step::Fetch { layer: number, at: to },
            _ if behind < making::layers(&shown.planes) => Step::Fetch { layer: behind, at: 0 },
            _ => behind_all,
        };
        Ok((next, ns))
    }

    /// Composes some lines, unless they are of the same already.
    fn compose_lines(&mut self, line: u32, active: Size) -> (Step, u64) {
        let dark = (Planes::default(), ColorRegs::default());
        let shown = self.state.shown.as_ref();
        let (planes, color) = shown.map_or((&dark.0, &dark.1), |shown| (&shown.planes, &shown.color));
        let (end, ns) = making::lines(planes, color, active, line);
        let made = self.kept.was_made_by(planes, color, active);
        let one_plane = shown.is_some_and(|shown| shown.is_one_plane(active));
        let there = made || (one_plane && self.kept.picture().is_some());
        let row = making::row_bytes(active);
        let place = row.saturating_mul(line as usize)..row.saturating_mul(end as usize);
        if let Some(lines) = self.picture.get_mut(place).filter(|_| !there) {
            self.kept.unmade();
            match shown {
                Some(shown) => shown.compose(&mut Strip { lines, top: line, active }, &self.kept),
                None => lines.fill(0),
            }
        }
        if end < u32::from(active.height_px) {
            return (Step::Compose { line: end }, ns);
        }
        if !made {
            self.kept.made(*planes, *color, active);
        }
        (Step::Sum { at: 0, crc: 0 }, ns)
    }

    /// Works out the CRC of some bytes; behind the last the frame is shown, and may be written back.
    fn sum(&mut self, at: u64, crc: u32, ports: &mut Ports<'_>) -> Option<(Step, u64)> {
        let from = at as usize;
        let to = from.saturating_add(SUM_BYTES).min(self.picture_bytes());
        let ns = making::sum_ns(to.saturating_sub(from));
        let crc = self.kept.sum((from, to), crc, &self.picture);
        if to < self.picture_bytes() {
            return Some((Step::Sum { at: to as u64, crc }, ns));
        }
        let frame = self.state.fetching.take()?;
        self.finish(frame, Ok(crc), ports);
        let (next, more) = self.begin_write_back(ports)?;
        Some((next, ns.saturating_add(more)))
    }

    fn begin_write_back(&mut self, ports: &mut Ports<'_>) -> Option<(Step, u64)> {
        let (Writing { regs, .. }, raster) = (self.state.writing?, self.state.raster?);
        let entries = u64::from(regs.entries);
        let ns = making::access_ns(entries.saturating_mul(SG_ENTRY_BYTES.into()), 1);
        match regs.fetch(raster.mode.active, ports) {
            Ok(list) => Some((Step::Write { list, line: 0 }, ns)),
            Err(error) => {
                self.end_write_back(Err(Some(error)), ports);
                None
            }
        }
    }

    fn write_lines(
        &mut self,
        list: SgList,
        line: u32,
        active: Size,
        ports: &mut Ports<'_>,
    ) -> Option<(Step, u64)> {
        let Writing { regs, .. } = self.state.writing?;
        let (end, ns) = making::written_lines(active, line, |y| regs.segments_of(&list, active, y));
        let row = making::row_bytes(active);
        let place = row.saturating_mul(line as usize)..row.saturating_mul(end as usize);
        let lines = self.picture().get(place).unwrap_or_default();
        let put = regs.put(&list, active, (line, lines), ports);
        if put.is_ok() && end < u32::from(active.height_px) {
            return Some((Step::Write { list, line: end }, ns));
        }
        self.end_write_back(put.map_err(Some), ports);
        None
    }

    /// Ends the write-back of what is shown, if there is one; without a picture it fails.
    pub(super) fn end_write_back(&mut self, put: Result<(), Option<FetchError>>, ports: &mut Ports<'_>) {
        let (Some(Writing { commit, .. }), Some(_)) = (self.state.writing.take(), self.state.raster) else {
            return;
        };
        let written = &mut self.state.written;
        (written.commit, written.failed) = (commit, put.is_err());
        match put {
            Ok(()) => written.pictures = written.pictures.saturating_add(1),
            Err(_) => written.failures = written.failures.saturating_add(1),
        }
        if let Err(Some(FetchError { bit, iova })) = put {
            self.state.fault_iova = iova.map_or(self.state.fault_iova, |iova| iova.0);
            self.fail(bit, ports);
        }
        self.signal(Irq::WRITEBACK, ports);
    }

    /// Its state, with what there is of the frame that is being made.
    pub fn save(&self) -> HeadState {
        let mut state = self.state.clone();
        let (Some(making), Some(raster)) = (&mut state.making, self.state.raster) else { return state };
        let row = making::row_bytes(raster.mode.active);
        let planes = self.state.shown.as_ref().map(|shown| shown.planes).unwrap_or_default();
        let read = |layer, at| self.kept.save(making::lengths(&planes, layer, at));
        let (read, composed) = match making.next {
            Step::Fetch { layer, at } => (read(layer, at), 0),
            Step::Compose { line } => (read(making::layers(&planes), 0), row.saturating_mul(line as usize)),
            Step::Sum { .. } | Step::Write { .. } => (Vec::new(), self.picture().len()),
        };
        making.so_far = SoFar { read, picture: self.picture().get(..composed).unwrap_or_default().to_vec() };
        state
    }

    /// Takes what there is of a frame out of a restored state.
    pub(super) fn take_so_far(&mut self) {
        let bytes = self.picture_bytes();
        let Some(making) = &mut self.state.making else { return };
        let SoFar { read, picture } = std::mem::take(&mut making.so_far);
        let planes = self.state.shown.as_ref().map(|shown| shown.planes).unwrap_or_default();
        self.picture = vec![0; bytes];
        if let Some(lines) = self.picture.get_mut(..picture.len()) {
            lines.copy_from_slice(&picture);
        }
        self.kept = KeptFrame::restore(&planes, read);
    }
}
