//! The program from outside: what it prints, and how it ends.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::process::{Command, Output};

fn siltstone(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_siltstone"));
    command.args(arguments).current_dir(folder.path()).env_clear().envs(variables.iter().copied());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn should_explain_itself() {
    let help = siltstone(&["--help"], &[]);
    assert!(help.status.success());
    for part in ["127.0.0.1:4317", "--store", "--listen-otlp-http", "siltstone settings", "SIGTERM"] {
        assert!(text(&help.stdout).contains(part), "{part}");
    }
    assert!(!text(&help.stdout).contains("secret-access-key"));
    let settings = siltstone(&["settings"], &[]);
    assert!(text(&settings.stdout).contains("SILTSTONE_S3_SECRET_ACCESS_KEY"));
}

#[test]
fn should_end_with_code_two_when_it_is_told_nonsense() {
    for (arguments, variables, says) in [
        (&["--ingest-memory", "x"][..], &[][..], "the flag --ingest-memory"),
        (&[], &[("SILTSTONE_ROLE", "x")], "the variable SILTSTONE_ROLE"),
        (&["--config", "missing.toml"], &[], "missing.toml"),
        (&[], &[("SILTSTONE_CONFIG", "missing.toml")], "missing.toml"),
        (&["--log", "a=b=c"], &[], "`log`"),
        (&["--nonsense"], &[], "--nonsense"),
    ] {
        let output = siltstone(arguments, variables);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
}
