//! What can go wrong between here and the hub, each in a sentence of its own.

use super::place::{Name, megabytes};
use crate::Error;
use std::io;
use ureq::http::{HeaderMap, StatusCode};

/// An answer that is not the file.
pub fn status(
    name: &Name,
    what: &str,
    code: StatusCode,
    headers: &HeaderMap,
    has_token: bool,
) -> Error {
    let header = |key: &str| headers.get(key).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (full, short, revision) = (name.full(), name.short_name(), &name.revision);
    let word = name.kind.word();
    let text = match code.as_u16() {
        401 if has_token => format!(
            "{full}: the hub does not accept the token (401). Make a new one in the hub's settings and put it into HF_TOKEN."
        ),
        401 => format!(
            "{full}: the hub wants to know who asks (401): the {word} is private, has conditions, or does not exist. Check the name, or set HF_TOKEN."
        ),
        403 => format!(
            "{full}: this account may not have the {word} (403). Accept its conditions on its page at the hub, or use a token that may read it."
        ),
        404 if header("x-error-code") == "RevisionNotFound" => {
            format!("{full}: the {word} has no branch, tag or commit {revision} (404).")
        }
        404 => {
            format!("{short}: the hub has no such {word} or file, {what} (404). Check the name.")
        }
        429 => match header("retry-after") {
            "" => format!(
                "{full}: too many requests (429). Wait some minutes and try again, or set HF_TOKEN."
            ),
            wait => format!(
                "{full}: too many requests (429). The hub asks to wait {} before the next.",
                match wait.parse::<u64>() {
                    Ok(seconds) => format!("{seconds} seconds"),
                    Err(_) => format!("until {wait}"),
                }
            ),
        },
        500..600 => {
            format!("{full}: the hub is in trouble itself ({code}) at {what}. Try again later.")
        }
        _ => format!("{full}: the hub answered {code} to {what}; expected the file."),
    };
    Error::Hub(text)
}

/// No answer, or one that stopped.
pub fn network(name: &Name, host: &str, error: ureq::Error) -> Error {
    let full = name.full();
    let text = match error {
        ureq::Error::HostNotFound => format!(
            "{full}: {host} was not found. Without a network, HF_HUB_OFFLINE=1 uses what is in the cache."
        ),
        ureq::Error::Timeout(_) => format!(
            "{full}: {host} said nothing for {} seconds. What came is kept; the same command goes on from there.",
            super::place::patience().as_secs()
        ),
        ureq::Error::TooManyRedirects => {
            format!("{full}: {host} sends from one address to the next without an end.")
        }
        ureq::Error::RequireHttpsOnly(_) => {
            format!("{full}: {host} sends to an address without encryption; refused.")
        }
        ureq::Error::BodyExceedsLimit(_) => {
            format!("{full}: {host} sent an answer without an end; refused.")
        }
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => {
                format!(
                    "{full}: the transfer from {host} broke off ({error}). What came is kept; the same command goes on from there."
                )
            }
            _ => format!(
                "{full}: {host} cannot be reached ({error}). Without a network, HF_HUB_OFFLINE=1 uses what is in the cache."
            ),
        },
        other => format!(
            "{full}: the transfer from {host} failed ({other}). What came is kept; the same command goes on from there."
        ),
    };
    Error::Hub(text)
}

/// A file of the cache that cannot be written or read.
pub fn disk(path: &std::path::Path, error: &io::Error) -> Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::Hub(format!(
                "{path}: the disk is full ({error}). What came is kept; make room, or set HF_HUB_CACHE to another disk."
            ))
        }
        _ => Error::Hub(format!(
            "{path}: {error}. Set HF_HUB_CACHE to a folder that can be written."
        )),
    }
}

pub fn no_room(cache: &std::path::Path, needed: u64, free: u64) -> Error {
    Error::Hub(format!(
        "{}: {} are to be fetched and {} are free on this disk. Make room, or set HF_HUB_CACHE to another disk.",
        cache.display(),
        megabytes(needed),
        megabytes(free)
    ))
}

pub fn wrong_hash(file: &str, found: &str, expected: &str) -> Error {
    Error::Hub(format!(
        "{file}: what came has sha256 {}..., the hub lists {}...; it was removed. Try again; if it stays so, something between here and the hub changes files.",
        &found[..12],
        &expected[..12]
    ))
}

pub fn wrong_size(file: &str, found: &str, expected: u64) -> Error {
    Error::Hub(format!("{file}: the hub sends {found}, and lists {expected} bytes; refused."))
}

pub fn too_slow(file: &str, bytes: u64, seconds: u64) -> Error {
    Error::Hub(format!(
        "{file}: only {bytes} bytes came in {seconds} seconds. What came is kept; try again when the network is faster."
    ))
}
