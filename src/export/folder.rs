//! A folder of files that appears under its name complete or not at all.
//!
//! The files are written into a new folder of this writer's own beside the target, flushed to the disk, and the folder
//! is renamed. The unfinished folder goes after an error, and after a signal that ends the program; only a kill that no
//! program hears of leaves it. Of two writers of one name the second fails: a folder with files in it is not replaced.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Tries for a name that nobody has.
const TRIES: u32 = 1000;

/// A folder that is being written.
pub struct Folder {
    out: PathBuf,
    unfinished: PathBuf,
    is_finished: bool,
}

impl Folder {
    /// Begins a folder that shall be at `out`, where nothing is yet. `files` are the names that it may get.
    ///
    /// Errors: something is there, or the place cannot be written to.
    pub fn create(out: &Path, files: &[&str]) -> Result<Folder> {
        if out.symlink_metadata().is_ok() {
            let expected = "a folder that does not exist yet; choose another, or remove it first";
            return Err(Error::input("--out", out.display(), expected));
        }
        let failed = |e: std::io::Error| Error::file(out.display().to_string(), e.to_string());
        let Some(name) = out.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            return Err(Error::input("--out", out.display(), "the name of a folder"));
        };
        if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..TRIES {
            let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let unfinished = out.with_file_name(format!(".{name}.unfinished-{process}-{count}"));
            // A signal that came between the two would leave the folder.
            let _waiting = signals::hold();
            match fs::create_dir(&unfinished) {
                Ok(()) => {
                    signals::remove_when_ended(&unfinished, files);
                    return Ok(Folder { out: out.to_path_buf(), unfinished, is_finished: false });
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Err(Error::file(out.display().to_string(), "has too many unfinished folders beside it"))
    }

    /// Writes one file and flushes it to the disk.
    ///
    /// Errors: those of `write`, or of the disk.
    pub fn file(&self, name: &str, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let path = self.unfinished.join(name);
        let file = File::create_new(&path).map_err(|e| self.failed(name, &e))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        write(&mut out)?;
        let file = out.into_inner().map_err(|e| self.failed(name, e.error()))?;
        file.sync_all().map_err(|e| self.failed(name, &e))
    }

    /// Gives the folder its name. Errors: another writer was first, or the disk's.
    pub fn finish(mut self) -> Result<()> {
        let failed = |e: std::io::Error| self.failed("", &e);
        sync(&self.unfinished).map_err(failed)?;
        if self.out.symlink_metadata().is_ok() {
            let problem = "was made by somebody else meanwhile; nothing was written over it";
            return Err(Error::file(self.out.display().to_string(), problem));
        }
        fs::rename(&self.unfinished, &self.out).map_err(failed)?;
        self.is_finished = true;
        signals::forget();
        let parent = self.out.parent().filter(|parent| !parent.as_os_str().is_empty());
        // The folder is there under its name; that its name outlives a loss of power is not worth an error.
        let _ = sync(parent.unwrap_or(Path::new(".")));
        Ok(())
    }

    fn failed(&self, name: &str, error: &std::io::Error) -> Error {
        let place = self.out.join(name).display().to_string();
        Error::file(place, format!("{error}; nothing was left under this name"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_finished {
            // It is this writer's own; what cannot be removed has no name that anybody reads.
            let _ = fs::remove_dir_all(&self.unfinished);
            signals::forget();
        }
    }
}

/// Flushes the list of a folder's files.
fn sync(folder: &Path) -> std::io::Result<()> {
    match cfg!(unix) {
        true => File::open(folder)?.sync_all(),
        false => Ok(()),
    }
}

#[cfg(not(unix))]
mod signals {
    pub fn hold() {}
    pub fn remove_when_ended(_: &std::path::Path, _: &[&str]) {}
    pub fn forget() {}
}

/// Removes an unfinished folder when a signal ends the program. One folder at a time is looked after.
#[cfg(unix)]
mod signals {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicPtr, Ordering};

    /// Paths of the files, the folder last. Lists are never freed: the handler may be reading one.
    static PATHS: AtomicPtr<Vec<CString>> = AtomicPtr::new(null_mut());

    /// Those that end the program when nothing else is said.
    const ENDING: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

    /// Signals wait for this thread until this is dropped.
    pub struct Held(libc::sigset_t);

    pub fn hold() -> Held {
        // SAFETY: the calls fill in the sets that they are given.
        unsafe {
            let (mut ending, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigemptyset(&mut ending);
            for signal in ENDING {
                libc::sigaddset(&mut ending, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &ending, &mut before);
            Held(before)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            // SAFETY: the set is the one that `hold` was given.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, null_mut()) };
        }
    }

    pub fn remove_when_ended(folder: &Path, files: &[&str]) {
        let paths = files.iter().map(|name| folder.join(name)).chain([folder.to_path_buf()]);
        let paths = paths.map(|path| CString::new(path.as_os_str().as_bytes()));
        let Ok(paths) = paths.collect::<Result<Vec<CString>, _>>() else { return };
        PATHS.store(Box::into_raw(Box::new(paths)), Ordering::SeqCst);
        for signal in ENDING {
            // SAFETY: the handler calls only functions that POSIX allows in one, and reads only what is never freed.
            unsafe {
                let before = libc::signal(signal, ended as *const () as libc::sighandler_t);
                if before == libc::SIG_IGN {
                    libc::signal(signal, libc::SIG_IGN);
                }
            }
        }
    }

    pub fn forget() {
        PATHS.store(null_mut(), Ordering::SeqCst);
    }

    extern "C" fn ended(signal: libc::c_int) {
        let paths = PATHS.load(Ordering::SeqCst);
        // SAFETY: the list is either null or was leaked by `remove_when_ended`; unlink, rmdir, signal and raise may be
        // called in a handler.
        unsafe {
            if let Some((folder, files)) = paths.as_ref().and_then(|paths| paths.split_last()) {
                files.iter().for_each(|file| {
                    libc::unlink(file.as_ptr());
                });
                libc::rmdir(folder.as_ptr());
            }
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
}
