//! How large the demo's pictures are.

use std::path::Path;

use crate::error::HostError;
use crate::picture_size::PictureSize;
use crate::source;

/// The size of the test pattern, unless told otherwise.
const PATTERN: PictureSize = PictureSize { width: 640, height: 480 };

/// The size of pictures of `path`, or of the test pattern: its own, or the `wanted` one. A still picture that is larger than
/// that is panned over.
///
/// # Errors
///
/// What is wrong with the source, or that it has no pictures of that size.
pub fn of_pictures(path: Option<&Path>, wanted: Option<PictureSize>) -> Result<PictureSize, HostError> {
    let Some(path) = path else { return Ok(wanted.unwrap_or(PATTERN)) };
    let source = source::open(path).map_err(|error| HostError::Input(format!("--camera-source {error}")))?;
    let limits = source.sizes();
    let own = PictureSize { width: limits.max.width_px, height: limits.max.height_px };
    let size = wanted.unwrap_or(own);
    let (width, height) = (limits.min.width_px..=own.width, limits.min.height_px..=own.height);
    if width.contains(&size.width) && height.contains(&size.height) {
        return Ok(size);
    }
    let (said, fix) = match limits.min == limits.max {
        true => (format!("its pictures have {own} pixels"), "leave --size out"),
        false => (format!("it has {own} pixels"), "name at most as many, and 16 at least"),
    };
    Err(HostError::input(format!("--size {size}: {}: {said}", path.display()), fix))
}

/// The display does not take pictures of this size.
pub fn unshowable(source: Option<&Path>, size: PictureSize) -> HostError {
    let name = source.map(|path| format!("--camera-source {}: ", path.display())).unwrap_or_default();
    HostError::input(
        format!(
            "{name}pictures of {size} pixels, but the demo shows 64x64 to 4095x4095, and 10 million pixels at most"
        ),
        "name another size with --size (a part of a PNG), or scale it, for example with `ffmpeg -i FILE -vf scale=640:480 OUT.y4m`",
    )
}
