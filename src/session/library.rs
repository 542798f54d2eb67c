//! Where bundled files come from: a folder natively, the page's own site on the web.

use super::bundle::sha256_hex;
use crate::{Error, Result};

#[cfg(target_arch = "wasm32")]
thread_local! {
    /// Files of this worker by path, as they came: for a helper's engine, or for this one from whom it helps.
    static AT_HAND: js_sys::Map = js_sys::Map::new();
}

/// The files that have been transferred since [`forget`], by path, for [`take_over`] in another worker.
#[cfg(target_arch = "wasm32")]
pub fn at_hand() -> js_sys::Map {
    AT_HAND.with(Clone::clone)
}

/// Lets them go.
#[cfg(target_arch = "wasm32")]
pub fn forget() {
    at_hand().clear();
}

/// Takes what another worker has at hand, so that it is not transferred again.
#[cfg(target_arch = "wasm32")]
pub fn take_over(files: &js_sys::Map) {
    files.for_each(&mut |file, path| drop(at_hand().set(&path, &file)));
}

/// The folder or address that holds `models/`. Clones share what is on its way.
#[derive(Debug, Clone)]
pub struct Library {
    root: String,
    #[cfg(target_arch = "wasm32")]
    on_its_way: std::rc::Rc<std::cell::RefCell<Option<web_sys::AbortController>>>,
}

impl Library {
    /// `root` is a folder, or an address such as document.baseURI.
    pub fn new(root: impl Into<String>) -> Self {
        Self {
            root: root.into(),
            #[cfg(target_arch = "wasm32")]
            on_its_way: Default::default(),
        }
    }

    /// Breaks off a transfer that is on its way; whoever waits for it gets [`Error::Cancelled`].
    #[cfg(target_arch = "wasm32")]
    pub fn abort(&self) {
        if let Some(transfer) = self.on_its_way.borrow_mut().take() {
            transfer.abort();
        }
    }

    /// A bundled file, checked against its hash.
    ///
    /// Errors: not there, unreachable, or another content than the index says.
    pub async fn get(&self, path: &str, sha256: &str) -> Result<Vec<u8>> {
        let bytes = self.fetch(path).await?;
        let found = sha256_hex(&bytes);
        if found != sha256 {
            let problem = format!(
                "has sha256 {}..., expected {}...; reload the page without cache, or fetch the file again",
                &found[..12],
                &sha256[..12.min(sha256.len())]
            );
            return Err(Error::file(path, problem));
        }
        Ok(bytes)
    }

    #[cfg(not(target_arch = "wasm32"))]
    async fn fetch(&self, path: &str) -> Result<Vec<u8>> {
        let full = std::path::Path::new(&self.root).join(path);
        std::fs::read(&full).map_err(|e| Error::file(full.display().to_string(), e.to_string()))
    }

    #[cfg(target_arch = "wasm32")]
    async fn fetch(&self, path: &str) -> Result<Vec<u8>> {
        let (files, key) = (at_hand(), path.into());
        let mut file = files.get(&key);
        // Whoever asks keeps it, and asks once.
        if !files.delete(&key) {
            file = self.transfer_or_break_off(path).await?.into();
            files.set(&key, &file);
        }
        Ok(js_sys::Uint8Array::new(&file).to_vec())
    }

    #[cfg(target_arch = "wasm32")]
    async fn transfer_or_break_off(&self, path: &str) -> Result<js_sys::ArrayBuffer> {
        let transfer = web_sys::AbortController::new()
            .map_err(|_| Error::file(path, "cannot be fetched in this browser"))?;
        let signal = transfer.signal();
        *self.on_its_way.borrow_mut() = Some(transfer);
        let found = self.transfer(path, &signal).await;
        self.on_its_way.borrow_mut().take();
        // An aborted fetch fails like a broken one.
        if signal.aborted() { Err(Error::Cancelled) } else { found }
    }

    #[cfg(target_arch = "wasm32")]
    async fn transfer(
        &self,
        path: &str,
        signal: &web_sys::AbortSignal,
    ) -> Result<js_sys::ArrayBuffer> {
        use wasm_bindgen::JsCast;
        use wasm_bindgen_futures::JsFuture;
        let problem = |what: String| Error::file(path, what);
        let url = web_sys::Url::new_with_base(path, &self.root)
            .map_err(|_| problem(format!("is no address below {}", self.root)))?
            .href();
        let scope: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
        let init = web_sys::RequestInit::new();
        init.set_signal(Some(signal));
        let response = JsFuture::from(scope.fetch_with_str_and_init(&url, &init))
            .await
            .map_err(|_| problem("could not be fetched; is the network there?".into()))?;
        let response: web_sys::Response = response.unchecked_into();
        if !response.ok() {
            return Err(problem(format!("the server answered {}", response.status())));
        }
        let unreadable = || problem("the transfer broke off; try again".into());
        let buffer = response.array_buffer().map_err(|_| unreadable())?;
        let buffer = JsFuture::from(buffer).await.map_err(|_| unreadable())?;
        Ok(buffer.unchecked_into())
    }
}
