//! Requests, from their bytes (5.13.6).

use super::facts::{ATTACH_BYPASS, BYPASS_CONFIG, MAP_READ, MAP_UNMAP, MAP_WRITE, PROBE, Status};

/// The most bytes that a request has for the device to read: those of PROBE.
pub const REQUEST_BYTES: usize = 72;
/// The type of a PROBE request.
pub const T_PROBE: u8 = 5;

/// What the driver asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Put an endpoint into a domain.
    Attach {
        /// The domain.
        domain: u32,
        /// The endpoint.
        endpoint: u32,
        /// It does not translate.
        bypass: bool,
    },
    /// Take it out.
    Detach {
        /// The domain.
        domain: u32,
        /// The endpoint.
        endpoint: u32,
    },
    /// Map a range.
    Map {
        /// The domain.
        domain: u32,
        /// First and last address.
        range: (u64, u64),
        /// The guest-physical address.
        gpa: u64,
        /// The device may read, and may write.
        rights: (bool, bool),
    },
    /// Unmap a range.
    Unmap {
        /// The domain.
        domain: u32,
        /// First and last address.
        range: (u64, u64),
    },
    /// Say what is special about an endpoint.
    Probe {
        /// The endpoint.
        endpoint: u32,
    },
}

/// Fields of a request, one behind the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Status> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(Status::Invalid)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u32(&mut self) -> Result<u32, Status> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Status> {
        self.take().map(u64::from_le_bytes)
    }

    /// Reserved bytes, which must be zero.
    fn zeros<const N: usize>(&mut self) -> Result<(), Status> {
        if self.take::<N>()? == [0; N] { Ok(()) } else { Err(Status::Invalid) }
    }
}

impl Request {
    /// The request of `bytes`, where the driver has taken `features`.
    ///
    /// # Errors
    ///
    /// The status of one that is wrong.
    pub fn parse(bytes: &[u8], features: u64) -> Result<Request, Status> {
        let mut fields = Fields(bytes);
        let [kind, ..] = fields.take::<4>()?;
        let has = |feature: u64| features & feature != 0;
        match kind {
            1 => attach(&mut fields, has(BYPASS_CONFIG)),
            2 => {
                let (domain, endpoint) = (fields.u32()?, fields.u32()?);
                fields.zeros::<8>()?;
                Ok(Request::Detach { domain, endpoint })
            }
            3 if has(MAP_UNMAP) => map(&mut fields),
            4 if has(MAP_UNMAP) => {
                let (domain, range) = (fields.u32()?, (fields.u64()?, fields.u64()?));
                fields.zeros::<4>()?;
                Ok(Request::Unmap { domain, range })
            }
            T_PROBE if has(PROBE) => {
                let endpoint = fields.u32()?;
                fields.zeros::<64>()?;
                Ok(Request::Probe { endpoint })
            }
            _ => Err(Status::Unsupported),
        }
    }
}

fn attach(fields: &mut Fields<'_>, may_bypass: bool) -> Result<Request, Status> {
    let (domain, endpoint, flags) = (fields.u32()?, fields.u32()?, fields.u32()?);
    fields.zeros::<4>()?;
    let known = if may_bypass { ATTACH_BYPASS } else { 0 };
    if flags & !known != 0 {
        return Err(Status::Invalid);
    }
    Ok(Request::Attach { domain, endpoint, bypass: flags & ATTACH_BYPASS != 0 })
}

fn map(fields: &mut Fields<'_>) -> Result<Request, Status> {
    let (domain, range, gpa) = (fields.u32()?, (fields.u64()?, fields.u64()?), fields.u64()?);
    let flags = fields.u32()?;
    if flags & !(MAP_READ | MAP_WRITE) != 0 {
        return Err(Status::Invalid);
    }
    Ok(Request::Map { domain, range, gpa, rights: (flags & MAP_READ != 0, flags & MAP_WRITE != 0) })
}
