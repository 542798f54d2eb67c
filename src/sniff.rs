//! Recognises what a file is when it is not what its name promises, so that the message can say so.

/// What the first bytes show, with what to do about it; `None` when nothing foreign is recognised.
pub(crate) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    const LFS: &[u8] = b"version https://git-lfs";
    let text = bytes.trim_ascii_start();
    if bytes.is_empty() {
        Some("is empty; download it again")
    } else if bytes.starts_with(LFS) {
        Some("is a git-lfs pointer, not the file itself; fetch it with git lfs pull or download it")
    } else if text.starts_with(b"<") {
        Some("is an HTML or XML page, not the file itself; check the address it was fetched from")
    } else if is_pickle(bytes) {
        Some(
            "is a file of torch.save; name it pytorch_model.bin, or convert the model to safetensors",
        )
    } else if bytes.starts_with(b"GGUF") {
        Some("is a GGUF file; expected the safetensors form of this model")
    } else {
        None
    }
}

/// A zip archive or a pickle: what torch.save writes.
pub(crate) fn is_pickle(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02")
}
