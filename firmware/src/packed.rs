//! A kernel that must be unpacked before it can be placed: a bzImage, or a vmlinux that is packed as a whole.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use linux_loader::bootparam::setup_header;

use crate::bz_image;
use crate::kernel::{HEAD_BYTES, KernelError, KernelImage, not_a_kernel, vmlinux_from_stream};
use crate::unpack::{Method, UnpackError, decoder, failed, unpack};

/// A larger kernel is refused, unpacked or packed, in bytes: a stock one has some 60 MiB unpacked.
pub(crate) const KERNEL_MAX: u64 = 1 << 30;

/// Bytes of a file that are read at once.
const PART_BYTES: usize = 128 << 10;

/// The most that a vmlinux packed as a whole may have behind its segments, in bytes: debugging data take half a gigabyte.
const BEHIND_MAX: u64 = 4 << 30;

/// A kernel's packed bytes. Of a bzImage in a file only the first are kept: mostly all that is wanted of the others is their digest.
#[derive(Debug)]
pub struct Packed {
    pub(crate) name: String,
    /// That of a bzImage; a packed vmlinux has none.
    pub(crate) header: Option<setup_header>,
    /// From the file's start to the payload's end, or as much of that as has been read.
    pub(crate) bytes: Vec<u8>,
    /// Where the others are, if there are any.
    pub(crate) file: Option<File>,
    pub(crate) payload: Range<usize>,
    /// The most that the payload may unpack to, in bytes, and whether the guest's memory sets that.
    pub(crate) limit: u64,
    pub(crate) limited_by_memory: bool,
}

/// A file that is packed as a whole, and the first 4096 bytes of what is in it.
pub(crate) struct Whole {
    method: Method,
    bytes: Vec<u8>,
    pub(crate) head: Vec<u8>,
}

impl Whole {
    /// Reads all of a packed file, `bytes` being its beginning.
    pub(crate) fn read(
        name: &str,
        method: Method,
        mut bytes: Vec<u8>,
        rest: impl Read,
    ) -> Result<Self, KernelError> {
        let most = KERNEL_MAX.saturating_sub(bytes.len() as u64);
        rest.take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| KernelError::Read { name: name.to_owned(), error })?;
        if bytes.len() as u64 > KERNEL_MAX {
            return Err(not_a_kernel(
                name,
                &format!("it has more than the {KERNEL_MAX} bytes that any kernel has"),
            ));
        }
        let mut whole = Whole { method, bytes, head: Vec::new() };
        whole.head = whole.unpacked(name, |_, inside| {
            let mut head = Vec::new();
            let read = inside.take(HEAD_BYTES).read_to_end(&mut head);
            read.map(|_| head).map_err(|error| KernelError::Read { name: name.to_owned(), error })
        })?;
        Ok(whole)
    }

    /// The compression's name.
    pub(crate) fn method(&self) -> &'static str {
        self.method.name()
    }

    /// See [`inside`].
    pub(crate) fn unpacked<T>(
        &self,
        name: &str,
        take: impl FnOnce(Vec<u8>, &mut dyn Read) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        inside(name, self.method, &self.bytes, &self.head, take)
    }

    /// The packed vmlinux that it is, for a guest of `memory` bytes.
    pub(crate) fn vmlinux(self, name: String, memory: u64) -> Packed {
        let payload = 0..self.bytes.len();
        Packed {
            name,
            header: None,
            bytes: self.bytes,
            file: None,
            payload,
            limit: memory,
            limited_by_memory: true,
        }
    }
}

/// Lets `take` read what is packed behind the first bytes, which are `head` and handed over, too. What goes wrong in unpacking is
/// said as such.
fn inside<T>(
    name: &str,
    method: Method,
    mut packed: &[u8],
    head: &[u8],
    take: impl FnOnce(Vec<u8>, &mut dyn Read) -> Result<T, KernelError>,
) -> Result<T, KernelError> {
    let damaged = |error: UnpackError| not_a_kernel(name, &error.to_string());
    let mut inside = decoder(method, &mut packed).map_err(damaged)?;
    let skipped = io::copy(&mut inside.by_ref().take(head.len() as u64), &mut io::sink());
    skipped.map_err(|error| damaged(failed(method, error)))?;
    take(head.to_vec(), &mut inside).map_err(|error| match error {
        KernelError::Read { error, .. } => damaged(failed(method, error)),
        other => other,
    })
}

/// Reads what follows the kernel, for the checksum at the stream's end.
pub(crate) fn drain(name: &str, rest: &mut dyn Read) -> Result<(), KernelError> {
    let behind = io::copy(&mut rest.take(BEHIND_MAX), &mut io::sink());
    match behind.map_err(|error| KernelError::Read { name: name.to_owned(), error })? {
        BEHIND_MAX => Err(not_a_kernel(
            name,
            &format!("{BEHIND_MAX} bytes or more follow the kernel that is packed in it"),
        )),
        _ => Ok(()),
    }
}

impl Packed {
    /// The file's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The setup header of a bzImage.
    pub fn header(&self) -> Option<&setup_header> {
        self.header.as_ref()
    }

    /// Gives `take` the bytes that decide which kernel this is, part by part. What has been read is not read again: what the header
    /// says is so in these very bytes, even if the file changes meanwhile.
    ///
    /// # Errors
    /// The file's.
    pub fn each(&self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        take(&self.bytes);
        let (mut at, end) = (self.bytes.len() as u64, self.payload.end as u64);
        let Some(file) = self.file.as_ref().filter(|_| at < end) else { return Ok(()) };
        let mut part = vec![0; PART_BYTES];
        while at < end {
            let length = part.len().min((end - at) as usize);
            file.read_exact_at(&mut part[..length], at)?;
            take(&part[..length]);
            at += length as u64;
        }
        Ok(())
    }

    /// Reads all bytes, so that [`Packed::each`] gives those that [`Packed::unpack`] unpacks.
    ///
    /// # Errors
    /// [`KernelError::Read`], or [`KernelError::NotAKernel`] where the file has become shorter.
    pub fn load(&mut self) -> Result<(), KernelError> {
        let all = self.all()?.into_owned();
        (self.bytes, self.file) = (all, None);
        Ok(())
    }

    fn all(&self) -> Result<Cow<'_, [u8]>, KernelError> {
        if self.file.is_none() {
            return Ok(Cow::Borrowed(&self.bytes));
        }
        let mut all = Vec::new();
        // Only what is read takes memory; a host that is short of it fails when it is needed.
        let _ = all.try_reserve_exact(self.payload.end);
        match self.each(|part| all.extend_from_slice(part)) {
            Ok(()) => Ok(Cow::Owned(all)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(not_a_kernel(&self.name, bz_image::CUT_OFF))
            }
            Err(error) => Err(KernelError::Read { name: self.name.clone(), error }),
        }
    }

    /// The kernel's release, such as `6.1.0-18-amd64`, where a bzImage's header has it.
    pub fn release(&self) -> Option<&str> {
        bz_image::release(self.header.as_ref()?, &self.bytes)
    }

    /// Unpacks the ELF `vmlinux`, of a packed vmlinux as far as its segments reach.
    ///
    /// # Errors
    /// [`KernelError::NotAKernel`], or [`KernelError::TooLittleMemory`] when it would be larger than the guest's memory.
    pub fn unpack(&self) -> Result<Vec<u8>, KernelError> {
        let all = self.all()?;
        let payload = &all[self.payload.clone()];
        if self.header.is_none() {
            let method = Method::of(payload).map_err(|error| not_a_kernel(&self.name, &error.to_string()))?;
            return inside(&self.name, method, payload, &[], |mut head, rest| {
                let read = (&mut *rest).take(HEAD_BYTES).read_to_end(&mut head);
                read.map_err(|error| KernelError::Read { name: self.name.clone(), error })?;
                let vmlinux = vmlinux_from_stream(&self.name, head, &mut *rest, self.limit)?;
                drain(&self.name, rest)?;
                Ok(vmlinux)
            });
        }
        let unpacked = unpack(payload, self.limit).map_err(|error| match error {
            UnpackError::TooLarge(_) => self.too_large("unpacks to more than"),
            other => not_a_kernel(&self.name, &other.to_string()),
        })?;
        if unpacked.starts_with(b"\x7fELF") {
            Ok(unpacked)
        } else {
            Err(not_a_kernel(&self.name, "its payload unpacks to something that is not an ELF file"))
        }
    }

    /// The kernel that [`Packed::unpack`] gave.
    ///
    /// # Errors
    /// [`KernelError::NotAKernel`].
    pub fn image(&self, vmlinux: Vec<u8>) -> Result<KernelImage, KernelError> {
        KernelImage::from_bytes(self.name.clone(), vmlinux, self.header)
    }

    pub(crate) fn too_large(&self, how: &str) -> KernelError {
        let limit = self.limit;
        if let (true, Some(header)) = (self.limited_by_memory, &self.header) {
            let kernel_end = u64::from(header.init_size).saturating_add(header.pref_address);
            return KernelError::TooLittleMemory { name: self.name.clone(), kernel_end, memory: limit };
        }
        let whose = if limit == KERNEL_MAX { "that any kernel has" } else { "that its header declares" };
        not_a_kernel(&self.name, &format!("its payload {how} the {limit} bytes {whose}"))
    }
}
