//! Which families there are: one line each, of which every list of families is made.

use super::fields::Fields;
use super::{Family, Kind, ModelConfig, gpt, granite, llama, mamba};
use crate::error::{Error, Result};

pub(super) struct Reader {
    pub family: Family,
    pub model_type: &'static str,
    state_space: bool,
    attention: bool,
    pub read: fn(Fields) -> Result<ModelConfig>,
}

const fn ssm(
    family: Family,
    model_type: &'static str,
    read: fn(Fields) -> Result<ModelConfig>,
) -> Reader {
    Reader { family, model_type, state_space: true, attention: false, read }
}

const fn transformer(
    family: Family,
    model_type: &'static str,
    read: fn(Fields) -> Result<ModelConfig>,
) -> Reader {
    Reader { family, model_type, state_space: false, attention: true, read }
}

const fn hybrid(
    family: Family,
    model_type: &'static str,
    read: fn(Fields) -> Result<ModelConfig>,
) -> Reader {
    Reader { family, model_type, state_space: true, attention: true, read }
}

pub(super) const READERS: [Reader; 12] = [
    ssm(Family::Mamba, "mamba", mamba::mamba),
    ssm(Family::Mamba2, "mamba2", mamba::mamba2),
    transformer(Family::Llama, "llama", llama::llama),
    transformer(Family::GptNeoX, "gpt_neox", gpt::gpt_neox),
    transformer(Family::Llama, "qwen2", llama::qwen2),
    transformer(Family::Llama, "qwen3", llama::qwen3),
    transformer(Family::Llama, "mistral", llama::mistral),
    transformer(Family::Llama, "smollm3", llama::smollm3),
    transformer(Family::Gpt2, "gpt2", gpt::gpt2),
    transformer(Family::Opt, "opt", gpt::opt),
    ssm(Family::Mamba, "falcon_mamba", mamba::falcon_mamba),
    hybrid(Family::Granite, "granitemoehybrid", granite::read),
];

/// The model_type values read here.
pub const FAMILIES: [&str; READERS.len()] = names(None);
/// Those whose models have layers with a state space.
pub const WITH_STATE_SPACE: [&str; count(Kind::StateSpace)] = names(Some(Kind::StateSpace));
/// Those whose models have layers with attention.
pub const WITH_ATTENTION: [&str; count(Kind::Attention)] = names(Some(Kind::Attention));

const fn has(reader: &Reader, kind: Option<Kind>) -> bool {
    match kind {
        None => true,
        Some(Kind::StateSpace) => reader.state_space,
        Some(Kind::Attention) => reader.attention,
    }
}

const fn count(kind: Kind) -> usize {
    let (mut i, mut n) = (0, 0);
    while i < READERS.len() {
        n += has(&READERS[i], Some(kind)) as usize;
        i += 1;
    }
    n
}

const fn names<const N: usize>(kind: Option<Kind>) -> [&'static str; N] {
    let mut names = [""; N];
    let (mut i, mut n) = (0, 0);
    while i < READERS.len() {
        if has(&READERS[i], kind) {
            names[n] = READERS[i].model_type;
            n += 1;
        }
        i += 1;
    }
    names
}

/// The reader that a file asks for.
pub(super) fn reader_of(fields: &mut Fields) -> Result<&'static Reader> {
    let found = match fields.text("model_type")? {
        Some(found) => found,
        None if fields.contains("d_model") && fields.contains("n_layer") => {
            mamba::original(fields)?.to_string()
        }
        None => return Err(Error::config("model_type", "absent", supported())),
    };
    let known = READERS.iter().find(|reader| reader.model_type == found);
    known.ok_or_else(|| Error::config("model_type", format!("{found:?}"), supported()))
}

fn supported() -> String {
    format!("one of {}", FAMILIES.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_is_among_both_kinds_and_the_others_among_one() {
        let [mut all, mut either] =
            [FAMILIES.to_vec(), [&WITH_STATE_SPACE[..], &WITH_ATTENTION].concat()];
        all.push("granitemoehybrid");
        all.sort_unstable();
        either.sort_unstable();
        assert_eq!(all, either);
        let state_space = ["falcon_mamba", "granitemoehybrid", "mamba", "mamba2"];
        assert!(state_space.iter().all(|family| WITH_STATE_SPACE.contains(family)));
        assert_eq!(WITH_STATE_SPACE.len(), state_space.len());
        assert!(WITH_ATTENTION.contains(&"opt") && WITH_ATTENTION.contains(&"llama"));
    }

    #[test]
    fn a_file_without_a_type_is_an_original_one_only_with_both_of_its_sizes() {
        for file in ["{}", r#"{"d_model": 64}"#, r#"{"n_layer": 2}"#] {
            let error = reader_of(&mut Fields::parse(file.as_bytes()).unwrap()).err();
            let text = error.expect("no type").to_string();
            assert!(text.contains("model_type is absent; expected one of mamba"), "{text}");
        }
    }
}
