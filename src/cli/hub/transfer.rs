//! Requests to the hub: what there is, and files, taken up where they broke off and checked against their hash.
//!
//! The token goes to the hub itself and to no other host that it sends on to.

use super::failure;
use super::listing::{Listed, Listing};
use super::place::{self, Name};
use super::progress::Progress;
use crate::Result;
use crate::bundle::hex;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

/// Largest answer about a model, or with rows of a data set; a model with ten thousand files has about 3 MB.
const MOST_LISTING: u64 = 32 << 20;
/// How often a transfer that broke off is taken up again by itself, each time only if something came.
const MOST_TRIES: usize = 5;
/// Less than this in the time that the hub may be silent is no transfer.
const LEAST_BYTES: u64 = 1024;

pub struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    patience: Duration,
}

/// What ended one try.
enum Ended {
    /// The connection; what came is kept.
    Broken(ureq::Error),
    /// Nothing that another try would mend.
    For(crate::Error),
}

impl Client {
    /// Errors: an address or a token in the environment that cannot be one.
    pub fn open() -> Result<Client> {
        let (endpoint, patience) = (place::endpoint()?, place::patience());
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(endpoint.starts_with("https://"))
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("whittle/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(patience))
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience));
        let agent = config.build().new_agent();
        Ok(Client { agent, endpoint, token: place::token()?, patience })
    }

    fn host(&self) -> &str {
        self.endpoint.split("://").nth(1).unwrap_or(&self.endpoint)
    }

    fn get(&self, url: &str, from: u64) -> std::result::Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.call()
    }

    /// The commit and the files of a model. Errors: see `failure`.
    pub fn listing(&self, name: &Name) -> Result<Listing> {
        Listing::parse(name, &self.about(name, "?blobs=true")?)
    }

    /// What the hub says of a model or data set at a revision. Errors: see `failure`.
    pub fn about(&self, name: &Name, query: &str) -> Result<Vec<u8>> {
        let revision = name.revision.replace('/', "%2F");
        let path = format!("api/{}/{}/revision/{revision}", name.kind.path(), name.short_name());
        let url = format!("{}/{path}{query}", self.endpoint);
        self.answer(name, &url, &path).map(|(body, _)| body)
    }

    /// An answer of bounded size, with its headers. Errors: see `failure`.
    pub fn answer(&self, name: &Name, url: &str, what: &str) -> Result<(Vec<u8>, HeaderMap)> {
        let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next());
        let failed = |error| failure::network(name, host.unwrap_or(url), error);
        let mut response = self.get(url, 0).map_err(failed)?;
        let (code, headers) = (response.status(), response.headers().clone());
        if !code.is_success() {
            return Err(failure::status(name, what, code, &headers, self.token.is_some()));
        }
        let body = response.body_mut().with_config().limit(MOST_LISTING).read_to_vec();
        Ok((body.map_err(failed)?, headers))
    }

    /// Fetches a file into `partial`, going on behind what is there already, and checks it.
    ///
    /// Errors: see `failure`. What came is kept, unless it is not what the hub lists.
    pub fn download(&self, name: &Name, commit: &str, file: &Listed, partial: &Path) -> Result<()> {
        let disk = |e: std::io::Error| failure::disk(partial, &e);
        let mut options = OpenOptions::new();
        let mut out = options.create(true).read(true).append(true).open(partial).map_err(disk)?;
        let mut have = out.metadata().map_err(disk)?.len();
        let mut progress = Progress::start(&file.name, have, file.bytes);
        let mut tries = 0;
        while have != file.bytes {
            if have > file.bytes {
                out.set_len(0).map_err(disk)?;
                have = 0;
            }
            let ended = self.attempt(name, commit, file, &mut out, &mut progress);
            let now = out.metadata().map_err(disk)?.len();
            tries += 1;
            match ended {
                Ok(()) => {}
                Err(Ended::Broken(_)) if now > have && tries < MOST_TRIES => {}
                Err(Ended::Broken(error)) => {
                    return Err(failure::network(name, self.host(), error));
                }
                Err(Ended::For(error)) => return Err(error),
            }
            have = now;
        }
        check(file, &mut out, partial)?;
        progress.end();
        Ok(())
    }

    fn attempt(
        &self,
        name: &Name,
        commit: &str,
        file: &Listed,
        out: &mut File,
        progress: &mut Progress<'_>,
    ) -> std::result::Result<(), Ended> {
        let url = format!("{}/{}/resolve/{commit}/{}", self.endpoint, name.short_name(), file.name);
        let disk = |e: std::io::Error| Ended::For(failure::disk(Path::new(&file.name), &e));
        let have = out.metadata().map_err(disk)?.len();
        let mut response = self.get(&url, have).map_err(Ended::Broken)?;
        let (code, headers) = (response.status(), response.headers().clone());
        let at = match code.as_u16() {
            200 => 0,
            206 => starts_at(&headers, file)?,
            // What is there is not a beginning of the file.
            416 if have > 0 => return out.set_len(0).map_err(disk),
            _ => {
                let known = self.token.is_some();
                return Err(Ended::For(failure::status(name, &file.name, code, &headers, known)));
            }
        };
        if at > have {
            let found = format!("a part from byte {at} where {have} was asked for");
            return Err(Ended::For(failure::wrong_size(&file.name, &found, file.bytes)));
        }
        if let Some(length) = response.body().content_length()
            && at + length != file.bytes
        {
            let found = format!("{} bytes", at + length);
            return Err(Ended::For(failure::wrong_size(&file.name, &found, file.bytes)));
        }
        out.set_len(at).map_err(disk)?;
        self.copy(&mut response.body_mut().as_reader(), at, file, out, progress)
    }

    /// Writes what comes, at once: whatever ends this program leaves a beginning that can be gone on with.
    fn copy(
        &self,
        from: &mut dyn Read,
        mut done: u64,
        file: &Listed,
        out: &mut File,
        progress: &mut Progress<'_>,
    ) -> std::result::Result<(), Ended> {
        let mut buffer = vec![0; 1 << 16];
        let (mut window, mut window_from) = (Instant::now(), done);
        loop {
            progress.show(done);
            let n = from.read(&mut buffer).map_err(|e| Ended::Broken(e.into()))?;
            if n == 0 && done < file.bytes {
                let end = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(Ended::Broken(end.into()));
            }
            if n == 0 {
                return Ok(());
            }
            if done + n as u64 > file.bytes {
                let error = failure::wrong_size(&file.name, "more", file.bytes);
                return Err(Ended::For(error));
            }
            out.write_all(&buffer[..n])
                .map_err(|e| Ended::For(failure::disk(Path::new(&file.name), &e)))?;
            done += n as u64;
            if window.elapsed() < self.patience {
                continue;
            }
            let came = done - window_from;
            if came < LEAST_BYTES && done < file.bytes {
                let seconds = window.elapsed().as_secs();
                return Err(Ended::For(failure::too_slow(&file.name, came, seconds)));
            }
            (window, window_from) = (Instant::now(), done);
        }
    }
}

/// Where a partial answer begins: `Content-Range: bytes 5-9/10`.
fn starts_at(headers: &HeaderMap, file: &Listed) -> std::result::Result<u64, Ended> {
    let text = headers.get("content-range").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let range = text.strip_prefix("bytes ").and_then(|rest| rest.split_once('/'));
    let from = range.and_then(|(range, total)| {
        let from = range.split_once('-')?.0.parse().ok()?;
        (total == file.bytes.to_string() || total == "*").then_some(from)
    });
    let found = format!("the part {text:?}");
    from.ok_or_else(|| Ended::For(failure::wrong_size(&file.name, &found, file.bytes)))
}

/// Errors: another content than the hub lists, which is removed.
fn check(file: &Listed, out: &mut File, partial: &Path) -> Result<()> {
    let Some(expected) = &file.sha256 else { return Ok(()) };
    let disk = |e: std::io::Error| failure::disk(partial, &e);
    out.rewind().map_err(disk)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match out.read(&mut buffer).map_err(disk)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    let found = hex(&hasher.finalize());
    if found == *expected {
        return Ok(());
    }
    std::fs::remove_file(partial).map_err(disk)?;
    Err(failure::wrong_hash(&file.name, &found, expected))
}
