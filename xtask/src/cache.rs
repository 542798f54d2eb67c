//! `${XDG_CACHE_HOME:-~/.cache}/whittle/tools`, shared by every checkout of one user.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::PathBuf;

use crate::command::Result;

pub fn folder() -> Result<PathBuf> {
    let from_xdg =
        env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = from_xdg.or_else(|| env::home_dir().map(|home| home.join(".cache"))).ok_or(
        "found neither XDG_CACHE_HOME nor HOME; set one, so that tools have a place to be kept",
    )?;
    let folder = base.join("whittle").join("tools");
    fs::create_dir_all(&folder)
        .map_err(|problem| format!("cannot create {}: {problem}", folder.display()))?;
    Ok(folder)
}

/// For one installing run at a time. Look again for what was missing once it is held: another run
/// may have installed it. Dropping the file ends it, and so does the end of the process.
pub fn lock() -> Result<File> {
    let path = folder()?.join(".lock");
    let say = |problem: std::io::Error| format!("cannot lock {}: {problem}", path.display());
    let file = File::create(&path).map_err(say)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            println!("Waiting for another run that is installing ({})", path.display());
            file.lock().map_err(say)?;
        }
        Err(TryLockError::Error(problem)) => return Err(say(problem)),
    }
    Ok(file)
}
