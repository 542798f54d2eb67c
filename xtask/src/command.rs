//! Running other programs: what is run is shown, and a failure says which command it was.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The message is for the person at the terminal: what failed and what to do.
pub type Result<T> = std::result::Result<T, String>;

/// The cargo that runs us, so that a chosen toolchain (`cargo +NAME xtask`) stays chosen.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs with our own input and output; anything but exit code 0 is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    println!("$ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status})")),
        Err(problem) => Err(format!("`{line}` could not be started: {problem}")),
    }
}

/// Like `run`, and gives what the command wrote to standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    println!("$ {line}");
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|problem| format!("`{line}` could not be started: {problem}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!("`{line}` failed ({})", output.status)),
    }
}

/// Standard output of a probing command, or nothing when it is missing or fails.
pub fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as one would type it, variables first.
pub fn shown(command: &Command) -> String {
    let set = command.get_envs().filter(|(key, _)| *key != "PATH").filter_map(|(key, value)| {
        Some(format!("{}={}", key.to_string_lossy(), quoted(&value?.to_string_lossy())))
    });
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program)
        .chain(command.get_args())
        .map(|word| quoted(&word.to_string_lossy()));
    set.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// `PATH` with `folders` searched first.
pub fn path_with(folders: &[PathBuf]) -> Result<OsString> {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let all = folders.iter().cloned().chain(env::split_paths(&inherited));
    env::join_paths(all).map_err(|problem| format!("cannot extend PATH: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted_into_a_shell() {
        let mut command = Command::new("printf");
        command.env("WORD", "two words").args(["%s|", "a b", "it's", "", "$HOME"]);
        let direct = answer(&mut command);
        let pasted = answer(Command::new("sh").arg("-c").arg(shown(&command)));
        assert_eq!(direct.as_deref(), Some("a b|it's||$HOME|"));
        assert_eq!(direct, pasted);
    }

    #[test]
    fn a_failing_command_is_named_in_the_error() {
        let problem = run(Command::new("sh").args(["-c", "exit 3"])).expect_err("exit code 3");
        assert!(problem.contains("sh -c 'exit 3'") && problem.contains('3'), "{problem}");
    }
}
