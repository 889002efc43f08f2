//! The files of one command: inputs are opened once, and no output is an input or another output, whatever its path.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use crate::error::HostError;

/// Symbolic links that are followed to where a file will come to be; the kernel follows as many.
const MOST_LINKS: usize = 40;

/// Opens a file or pipe that the user named.
pub fn open_input(role: &str, path: &Path, fix: &str) -> Result<File, HostError> {
    let failed = |error: io::Error| HostError::file(role, path, &error, fix);
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(HostError::input(format!("{role} {}: is a folder", path.display()), fix));
    }
    Ok(file)
}

/// Reads a text of at most `most` bytes that the user named. A pipe has no size before it is read: one byte too much is enough to know.
pub fn read_text(role: &str, path: &Path, most: u64, fix: &str) -> Result<String, HostError> {
    let mut text = String::new();
    let read = open_input(role, path, fix)?.take(most.saturating_add(1)).read_to_string(&mut text);
    let size = read.map_err(|error| HostError::file(role, path, &error, fix))?;
    if size as u64 > most {
        let what = format!("{role} {}: it is larger than {} MiB", path.display(), most >> 20);
        return Err(HostError::input(what, fix));
    }
    Ok(text)
}

/// What makes two paths one file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    /// A regular file, by device and inode.
    File(u64, u64),
    /// A block device, by its number.
    Block(u64),
    /// A file that is not there yet, by the path it will have without links.
    Future(PathBuf),
}

impl Identity {
    /// `None` for what is no file to be overwritten: terminals, pipes, `/dev/null`.
    fn of(path: &Path) -> Option<Identity> {
        let mut path = path.to_path_buf();
        for _ in 0..MOST_LINKS {
            if let Ok(metadata) = fs::metadata(&path) {
                return Identity::of_metadata(&metadata);
            }
            match fs::read_link(&path) {
                Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
                Err(_) => return Some(Identity::Future(without_links(&path))),
            }
        }
        None
    }

    fn of_metadata(metadata: &Metadata) -> Option<Identity> {
        let kind = metadata.file_type();
        if kind.is_file() {
            Some(Identity::File(metadata.dev(), metadata.ino()))
        } else {
            kind.is_block_device().then(|| Identity::Block(metadata.rdev()))
        }
    }

    fn of_stream(stream: &impl AsFd) -> Option<Identity> {
        let file = File::from(stream.as_fd().try_clone_to_owned().ok()?);
        Identity::of_metadata(&file.metadata().ok()?)
    }
}

/// An absolute path of what need not be there: links are resolved as far as there is anything.
fn without_links(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            other => resolved.push(other),
        }
        resolved = fs::canonicalize(&resolved).unwrap_or(resolved);
    }
    resolved
}

/// Whether two paths name one file.
pub fn same_file(one: &Path, other: &Path) -> bool {
    Identity::of(one).is_some_and(|one| Identity::of(other) == Some(one))
}

/// Whether a path names what standard output is.
pub fn is_standard_output(path: &Path) -> bool {
    let there = |path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    there(path).is_some_and(|file| there(Path::new("/proc/self/fd/1")) == Some(file))
}

/// Pictures that are written one by one: all files of a folder that begin with a word and are PNGs.
struct Pictures {
    role: String,
    folder: PathBuf,
    prefix: &'static str,
}

impl Pictures {
    fn has_name(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(self.prefix) && name.ends_with(".png")
    }

    fn has(&self, file: &Identity) -> bool {
        if let Identity::Future(path) = file {
            return self.has_name(path) && path.parent().is_some_and(|folder| folder == self.folder);
        }
        let paths = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        paths.filter(|path| self.has_name(path)).any(|path| Identity::of(&path).as_ref() == Some(file))
    }
}

/// Who reads and who writes which file. Claim inputs first: a conflict is reported for the later one.
#[derive(Default)]
pub struct Claims {
    files: Vec<(String, Identity)>,
    pictures: Vec<Pictures>,
}

impl Claims {
    /// An input: many may be one file.
    pub fn input(&mut self, role: &str, path: &Path) {
        let name = format!("{role} {}", path.display());
        self.files.extend(Identity::of(path).map(|file| (name, file)));
    }

    /// Standard input, output and error. What is written must be no input of the command.
    pub fn standard_streams(&mut self) -> Result<(), HostError> {
        let stdout = ("standard output", Identity::of_stream(&io::stdout()));
        let stderr = ("standard error", Identity::of_stream(&io::stderr()));
        for (role, file) in [&stdout, &stderr] {
            let clash = |(_, other): &&(String, Identity)| Some(other) == file.as_ref();
            if let Some((other, _)) = self.files.iter().find(clash) {
                return Err(HostError::input(format!("{role} is {other}"), "send it to another file"));
            }
        }
        let stdin = ("standard input", Identity::of_stream(&io::stdin()));
        for (role, file) in [stdin, stdout, stderr] {
            self.files.extend(file.map(|file| (role.to_string(), file)));
        }
        Ok(())
    }

    /// An output, which must not be claimed yet.
    pub fn output(&mut self, role: &str, path: &Path) -> Result<(), HostError> {
        let Some(file) = Identity::of(path) else { return Ok(()) };
        let name = format!("{role} {}", path.display());
        let clash = self.files.iter().find(|(_, other)| *other == file);
        if let Some((other, _)) = clash {
            return Err(HostError::input(format!("{name} is the same file as {other}"), "name another file"));
        }
        if let Some(pictures) = self.pictures.iter().find(|pictures| pictures.has(&file)) {
            return Err(HostError::input(
                format!("{name} has the name of a picture of {}", pictures.role),
                "name another file",
            ));
        }
        self.files.push((name, file));
        Ok(())
    }

    /// Pictures that will be `folder/PREFIX*.png`, none of which may be claimed yet.
    pub fn pictures(&mut self, role: &str, folder: &Path, prefix: &'static str) -> Result<(), HostError> {
        let role = format!("{role} {}", folder.display());
        let pictures = Pictures { role, folder: without_links(folder), prefix };
        if let Some((other, _)) = self.files.iter().find(|(_, file)| pictures.has(file)) {
            let what = format!("{}: a picture would overwrite {other}", pictures.role);
            return Err(HostError::input(what, "name another folder"));
        }
        self.pictures.push(pictures);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn message(result: Result<(), HostError>) -> String {
        result.expect_err("must be refused").to_string()
    }

    #[test]
    fn an_output_is_no_input_by_whatever_path() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("kernel"), "k").expect("written");
        fs::hard_link(path("kernel"), path("hard")).expect("linked");
        symlink("kernel", path("soft")).expect("linked");
        symlink(folder.path(), path("here")).expect("linked");
        let mut claims = Claims::default();
        claims.input("--kernel", &path("kernel"));
        claims.input("--initrd", &path("kernel"));
        for name in ["kernel", "hard", "soft", "here/kernel", "here/here/./soft"] {
            let said = message(claims.output("--trace", &path(name)));
            assert!(said.contains("--trace ") && said.contains("is the same file as --kernel "), "{said}");
        }
        for harmless in [Path::new("/dev/null"), &path("other"), &path("nowhere/kernel")] {
            claims.output("--trace", harmless).expect("another file");
        }
    }

    #[test]
    fn two_new_outputs_are_distinguished_by_where_they_will_be() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| folder.path().join(name);
        symlink("out/log", path("dangling")).expect("linked");
        for other in ["out/log", "out/../out/./log", "dangling"] {
            let mut claims = Claims::default();
            claims.output("--trace", &path("out/log")).expect("the first");
            assert!(message(claims.output("the console", &path(other))).contains("--trace"), "{other}");
            claims.output("the console", &path("out/log2")).expect("another");
        }
    }

    #[test]
    fn pictures_overwrite_nothing_that_is_claimed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("source"), "s").expect("written");
        fs::hard_link(path("source"), path("flip-000007.png")).expect("linked");
        let mut claims = Claims::default();
        claims.pictures("--frames", folder.path(), "flip-").expect("nothing is claimed");
        for name in ["flip-000001.png", "source"] {
            assert!(message(claims.output("--trace", &path(name))).contains("picture of --frames"), "{name}");
        }
        claims.output("--trace", &path("flips.png")).expect("another name");
        let mut claims = Claims::default();
        claims.input("--camera source", &path("source"));
        assert!(message(claims.pictures("--frames", folder.path(), "flip-")).contains("--camera source"));
        claims.pictures("--frames", &path("new"), "flip-").expect("a new folder");
        assert!(message(claims.output("--trace", &path("new/flip-1.png"))).contains("--frames"));
    }
}
