//! Writes a root beside the place that it is for, and gives it its name when it is whole.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::erofs::Image;
use super::process::{Job, stopped};
use super::spool::Spool;
use super::tree::{Attributes, Kind, Tree};
use crate::error::HostError;

const ROLE: &str = "-o";

/// What is written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A folder with the files, for virtio-fs.
    Folder(PathBuf),
    /// An image, for a disk.
    Image(PathBuf),
}

impl Output {
    /// What a user means by a path: a folder if it ends with a slash or is an empty folder, an image otherwise.
    ///
    /// # Errors
    ///
    /// Something is there already, or there is no folder to put it into.
    pub fn named(path: &Path) -> Result<Output, HostError> {
        let slash = path.as_os_str().as_bytes().ends_with(b"/");
        let plain_path: PathBuf = path.components().collect();
        let there = fs::symlink_metadata(&plain_path);
        let empty = fs::read_dir(&plain_path).is_ok_and(|mut entries| entries.next().is_none());
        match there {
            Ok(metadata) if metadata.is_dir() && empty => {
                check_room(path, folder_of(&plain_path))?;
                return Ok(Output::Folder(plain_path));
            }
            Ok(metadata) => {
                let what =
                    if metadata.is_dir() { "is a folder with files in it" } else { "is there already" };
                return Err(HostError::input(
                    format!("{ROLE} {}: {what}", path.display()),
                    "remove it, or name another place",
                ));
            }
            Err(_) => {}
        }
        let parent = folder_of(&plain_path);
        let metadata = fs::metadata(parent);
        if let Err(error) = &metadata {
            return Err(HostError::file(ROLE, path, error, "name a place in a folder that is there"));
        }
        check_room(path, parent)?;
        Ok(if slash { Output::Folder(plain_path) } else { Output::Image(plain_path) })
    }

    /// Writes the tree; gives the bytes that it takes.
    ///
    /// # Errors
    ///
    /// Why it cannot be written. Nothing is left of it then.
    pub fn write(&self, tree: &Tree, spool: &Spool, job: &Job) -> Result<u64, HostError> {
        let (path, written) = match self {
            Output::Folder(path) => (path, write_folder(path, tree, spool, job)),
            Output::Image(path) => (path, write_image(path, tree, spool, job)),
        };
        written.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => stopped(&error),
            _ => HostError::file(ROLE, path, &error, "make room there, or name another place"),
        })
    }
}

/// Sees whether something can be put into `folder`: what it is for takes long to make.
fn check_room(path: &Path, folder: &Path) -> Result<(), HostError> {
    let made = partial().tempfile_in(folder);
    made.map(drop)
        .map_err(|error| HostError::file(ROLE, path, &error, "name a place in a folder where you may write"))
}

/// What has the name of something that is being written.
fn partial() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fencepost-root-");
    builder
}

/// The folder in which a path is.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_image(path: &Path, tree: &Tree, spool: &Spool, job: &Job) -> io::Result<u64> {
    let image = Image::new(tree, spool)?;
    let file = partial().permissions(Permissions::from_mode(0o644)).tempfile_in(folder_of(path))?;
    let mut buffered = BufWriter::with_capacity(1 << 20, file);
    image.write(&mut buffered, &|| job.go_on())?;
    let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(image.len())
}

fn write_folder(path: &Path, tree: &Tree, spool: &Spool, job: &Job) -> io::Result<u64> {
    let partial = partial().tempdir_in(folder_of(path))?;
    let mut bytes = 0;
    let paths = tree.paths();
    let mut written = vec![None; tree.len()];
    for (name, number) in &paths {
        job.go_on()?;
        let node = tree.node(*number);
        let to = partial.path().join(relative(name));
        match (&node.kind, &written[*number]) {
            (Kind::Folder(_), _) => fs::DirBuilder::new().mode(0o700).create(&to)?,
            (Kind::Link(target), _) => symlink(OsStr::from_bytes(target), &to)?,
            (Kind::File(_), Some(first)) => fs::hard_link(first, &to)?,
            (Kind::File(content), None) => {
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to)?;
                bytes += spool.copy(*content, 0, &mut file)?;
                finish(&file, &node.attributes)?;
                written[*number] = Some(to);
            }
        }
    }
    // Folders last: what is put into one changes its time, and a mode may forbid to.
    for (name, number) in paths.iter().rev() {
        let node = tree.node(*number);
        if matches!(node.kind, Kind::Folder(_)) {
            let to = partial.path().join(relative(name));
            finish(&File::open(&to)?, &node.attributes)?;
        }
    }
    fs::set_permissions(partial.path(), Permissions::from_mode(0o755))?;
    // An empty folder of this name gives way, anything else does not.
    fs::rename(partial.path(), path)?;
    let _ = partial.keep();
    Ok(bytes)
}

/// A path in the tree without the slash that it begins with.
fn relative(path: &[u8]) -> &OsStr {
    OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path))
}

/// Gives a file its owner, mode and time. Who is not root keeps all files, and then none runs as its owner (set-user-ID).
fn finish(file: &File, attributes: &Attributes) -> io::Result<()> {
    let mut mode = attributes.mode;
    if rustix::process::geteuid().is_root() {
        fchown(file, Some(attributes.uid), Some(attributes.gid))?;
    } else {
        mode &= !0o6000;
    }
    file.set_permissions(Permissions::from_mode(u32::from(mode)))?;
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(attributes.seconds))
}
