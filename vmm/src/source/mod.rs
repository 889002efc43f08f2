//! Pictures for the camera from host files: Y4M videos and PNG pictures.
//!
//! Every mistake in a file is found when it is opened, and is one line that names the file and the fix.

mod pan;
mod png_file;
mod y4m;
mod y4m_header;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fencepost_devices::camera::FrameSource;

/// The largest width and height the camera takes, in pixels.
const MAX_SIDE_PX: u32 = 4096;

/// Why a picture file cannot feed the camera. Its text is one line for the user.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct OpenError {
    path: PathBuf,
    problem: Problem,
}

/// What is wrong with a file, and the fix.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("cannot read it ({0}); name a readable Y4M or PNG file")]
    Unreadable(String),
    #[error("neither Y4M nor PNG; convert it, for example with `ffmpeg -i FILE -pix_fmt yuv420p OUT.y4m`")]
    Unknown,
    #[error(
        "pictures of {0}x{1} pixels, but the camera takes even sizes from 16x16 to {MAX_SIDE_PX}x{MAX_SIDE_PX}; \
         crop or scale them, for example with `ffmpeg -i FILE -vf crop={2}:{3} OUT`"
    )]
    Size(u32, u32, u32, u32),
    #[error("bad Y4M header: {0}; write the file again with a current ffmpeg or mjpegtools")]
    Header(String),
    #[error(
        "Y4M colour space {0} is not supported; convert it to 8 bits with `ffmpeg -i FILE -pix_fmt yuv420p OUT.y4m`"
    )]
    ColourSpace(String),
    #[error("interlaced Y4M; make it progressive with `ffmpeg -i FILE -vf yadif OUT.y4m`")]
    Interlaced,
    #[error(
        "{0} frames a second, but the camera takes 1 to 240; set the rate with `ffmpeg -i FILE -r 30 OUT.y4m`"
    )]
    Rate(String),
    #[error("Y4M without a frame; write the file again")]
    Empty,
    #[error(
        "Y4M of more than {} frames; cut it, for example with `ffmpeg -i FILE -t 3600 OUT.y4m`",
        y4m::MAX_FRAMES
    )]
    Frames,
    #[error("Y4M frame {0} is cut short or does not begin with FRAME; write the file again")]
    Frame(u64),
    #[error("is no regular file, and frames are read more than once; name a file")]
    NoFile,
    #[error("bad PNG ({0}); write the file again")]
    Png(String),
}

pub use png_file::Pixels;

/// The pixels of a PNG file of any size.
///
/// # Errors
///
/// It cannot be read or decoded.
pub fn png_pixels(path: &Path) -> Result<Pixels, OpenError> {
    let read = || png_file::pixels(BufReader::new(File::open(path)?));
    read().map_err(|problem| OpenError { path: path.to_owned(), problem })
}

/// Opens a picture file: Y4M or PNG, by its content.
pub fn open(path: &Path) -> Result<Box<dyn FrameSource>, OpenError> {
    open_any(path).map_err(|problem| OpenError { path: path.to_owned(), problem })
}

fn open_any(path: &Path) -> Result<Box<dyn FrameSource>, Problem> {
    // Asked before it is opened: opening a pipe waits for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Problem::NoFile);
    }
    let mut file = BufReader::new(File::open(path)?);
    let mut magic = Vec::new();
    file.by_ref().take(10).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    if magic == *b"YUV4MPEG2 " {
        Ok(Box::new(y4m::Y4m::new(file)?))
    } else if magic.starts_with(b"\x89PNG\r\n\x1a\n") {
        Ok(Box::new(pan::Pan::new(png_file::read(file)?)))
    } else {
        Err(Problem::Unknown)
    }
}

/// Refuses sizes that the camera cannot take.
fn check_size(width_px: u32, height_px: u32) -> Result<(), Problem> {
    let good = |px: u32| (16..=MAX_SIDE_PX).contains(&px) && px % 2 == 0;
    if good(width_px) && good(height_px) {
        return Ok(());
    }
    let near = |px: u32| px.clamp(16, MAX_SIDE_PX) & !1;
    Err(Problem::Size(width_px, height_px, near(width_px), near(height_px)))
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Problem::Unreadable(crate::error::plain(&error))
    }
}

#[cfg(test)]
mod tests {
    use fencepost_devices::camera::Band;

    use super::*;

    /// What a user sees for a file of these bytes.
    pub(super) fn message(name: &str, bytes: &[u8]) -> String {
        let path = std::env::temp_dir().join(format!("fencepost-source-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let result = open(&path);
        std::fs::remove_file(&path).unwrap();
        result.err().expect("the file was taken").to_string()
    }

    #[test]
    fn files_are_known_by_their_content() {
        let path = std::env::temp_dir().join(format!("fencepost-source-{}-video", std::process::id()));
        let mut bytes = b"YUV4MPEG2 W64 H32 F25:1 Cmono\nFRAME\n".to_vec();
        bytes.extend_from_slice(&[99; 64 * 32]);
        std::fs::write(&path, bytes).unwrap();
        let source = open(&path);
        std::fs::remove_file(&path).unwrap();
        let mut source = source.unwrap();
        let size = source.sizes().max;
        assert_eq!((size.width_px, size.height_px), (64, 32));
        assert_eq!(source.band(0, size, Band::whole(size)).unwrap().luma, [99; 64 * 32]);
    }

    #[test]
    fn errors_name_the_file_and_the_fix_in_one_line() {
        let odd = message("odd.y4m", b"YUV4MPEG2 W321 H240 F30:1\n");
        assert!(odd.contains("odd.y4m: pictures of 321x240") && odd.contains("crop=320:240"), "{odd}");
        let text = message("text", b"hello");
        assert!(text.contains("neither Y4M nor PNG"), "{text}");
        let png = message("cut.png", b"\x89PNG\r\n\x1a\n");
        assert!(png.contains("bad PNG"), "{png}");
        let missing = open(Path::new("/nonexistent/x.y4m")).err().unwrap().to_string();
        assert!(missing.starts_with("/nonexistent/x.y4m: cannot read it"), "{missing}");
        assert!([odd, text, png, missing].iter().all(|line| !line.contains('\n')));
    }
}
