//! Tools built from crates.io, each at one version, kept once per user.
//!
//! `${XDG_CACHE_HOME:-~/.cache}/whittle/tools/NAME-VERSION/bin`. A tool of the right version that
//! is already on PATH is used as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache;
use crate::command::{Result, answer, cargo, run};

pub struct Tool {
    pub name: &'static str,
    pub version: &'static str,
    /// What the others call; each answers `--version` with a line that ends in the version.
    programs: &'static [&'static str],
    source: Source,
}

enum Source {
    /// With the lock file published there, and these further arguments.
    CratesIo(&'static [&'static str]),
    /// A crate in this repository with a lock file of its own.
    Folder(&'static str),
}

/// Newer versions ask for a newer Rust than 1.95. Without default features trunk has no TLS, so it
/// cannot download tools behind our back.
pub const TRUNK: Tool = Tool {
    name: "trunk",
    version: "0.21.14",
    programs: &["trunk"],
    source: Source::CratesIo(&["--no-default-features"]),
};
/// Must equal the wasm-bindgen library in Cargo.toml. From crates.io it cannot be had with its lock
/// file (xtask/bindgen/Cargo.toml says why).
pub const WASM_BINDGEN: Tool = Tool {
    name: "wasm-bindgen-cli",
    version: "0.2.130",
    programs: &["wasm-bindgen", "wasm-bindgen-test-runner"],
    source: Source::Folder("xtask/bindgen"),
};
pub const WASM_PACK: Tool = Tool {
    name: "wasm-pack",
    version: "0.15.1",
    programs: &["wasm-pack"],
    source: Source::CratesIo(&[]),
};

/// Licences, sources and double versions of the crates (deny.toml). Its advisories need a network, so they are not asked.
pub const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.19.4",
    programs: &["cargo-deny"],
    source: Source::CratesIo(&[]),
};

/// The tools run for seconds, so quick to build beats quick to run. The profiles they are published
/// with (fat LTO, one codegen unit) take more than twice the time.
const QUICK_TO_BUILD: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
];

/// The folders to search first so that every tool is found at its version.
pub fn provide(tools: &[&Tool]) -> Result<Vec<PathBuf>> {
    let cache = cache::folder()?;
    let folder = |tool: &Tool| cache.join(format!("{}-{}", tool.name, tool.version));
    let wanted: Vec<&Tool> = tools.iter().copied().filter(|tool| !tool.is_in(None)).collect();
    if wanted.iter().any(|tool| !tool.is_in(Some(&folder(tool)))) {
        let _held = cache::lock()?;
        for tool in &wanted {
            // Looked at again under the lock: another run may have built it meanwhile.
            if !tool.is_in(Some(&folder(tool))) {
                tool.install(&cache, &folder(tool))?;
            }
        }
        remove_folder(&cache.join("build"))?;
    }
    Ok(wanted.iter().map(|tool| folder(tool).join("bin")).collect())
}

impl Tool {
    /// Whether every program answers with our version, from `root/bin` or else from PATH.
    fn is_in(&self, root: Option<&Path>) -> bool {
        self.programs.iter().all(|program| {
            let program = match root {
                Some(root) => root.join("bin").join(program),
                None => PathBuf::from(program),
            };
            let told = answer(Command::new(program).arg("--version"));
            told.is_some_and(|line| line.split_whitespace().nth(1) == Some(self.version))
        })
    }

    /// Builds beside the final place and renames, so that a folder there is always complete.
    fn install(&self, cache: &Path, folder: &Path) -> Result<()> {
        println!(
            "Building {} {} (once per user; kept in {})",
            self.name,
            self.version,
            cache.display()
        );
        let staging = cache.join(format!("staging-{}", self.name));
        remove_folder(&staging)?;
        let mut install = self.source.install(self)?;
        install
            .arg("--root")
            .arg(&staging)
            // Outside the repository, so that its .cargo/config.toml does not apply.
            .current_dir(cache)
            // One build folder for all: they share crates, and an interrupted build goes on.
            .env("CARGO_TARGET_DIR", cache.join("build"))
            .envs(QUICK_TO_BUILD.iter().copied());
        run(&mut install).map_err(|problem| {
            format!(
                "{problem}\n{} {} could not be built. It needs crates.io and a C compiler (Debian: \
                 apt-get install gcc libc6-dev); cargo's own words are above. \
                 Run the same command again when that is mended: what was built is kept.",
                self.name, self.version
            )
        })?;
        remove_folder(folder)?;
        fs::rename(&staging, folder)
            .map_err(|problem| format!("cannot create {}: {problem}", folder.display()))?;
        match self.is_in(Some(folder)) {
            true => Ok(()),
            false => {
                Err(format!("{} does not run or is not version {}", folder.display(), self.version))
            }
        }
    }
}

impl Source {
    fn install(&self, tool: &Tool) -> Result<Command> {
        let mut install = cargo();
        install.args(["install", "--locked"]);
        match self {
            Self::CratesIo(arguments) => {
                install.args([tool.name, "--version", tool.version]).args(*arguments)
            }
            Self::Folder(folder) => {
                let whole = std::path::absolute(folder);
                install.arg("--path").arg(whole.map_err(|problem| format!("{folder}: {problem}"))?)
            }
        };
        Ok(install)
    }
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {problem}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(file: &str, key: &str) -> String {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file))
            .expect(file);
        let line =
            text.lines().find(|line| line.split('=').next().is_some_and(|word| word.trim() == key));
        line.expect(key).split('"').nth(1).expect("a quoted version").to_owned()
    }

    #[test]
    fn the_bindgen_tool_matches_the_library_and_trunks_pin() {
        assert_eq!(pinned("Cargo.toml", "wasm-bindgen"), format!("={}", WASM_BINDGEN.version));
        assert_eq!(pinned("Trunk.toml", "wasm_bindgen"), WASM_BINDGEN.version);
        let built = pinned("xtask/bindgen/Cargo.toml", "wasm-bindgen-cli");
        assert_eq!(built, format!("={}", WASM_BINDGEN.version));
    }

    #[test]
    fn a_program_of_another_version_is_not_taken() {
        let tool = |version| Tool {
            name: "cargo",
            version,
            programs: &["cargo"],
            source: Source::CratesIo(&[]),
        };
        let told = answer(Command::new("cargo").arg("--version")).expect("cargo runs");
        let real: &'static str =
            told.split_whitespace().nth(1).expect("a version").to_owned().leak();
        assert!(tool(real).is_in(None));
        assert!(!tool("0.0.1").is_in(None));
        assert!(!tool(real).is_in(Some(Path::new("/nowhere"))));
    }
}
