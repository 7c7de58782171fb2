//! The program from outside: what it prints, and how it ends.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use siltstone_server::signals::Signals;

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
        (&["--retention", "keep x"], &[], "the flag --retention"),
        (&["--nonsense"], &[], "--nonsense"),
    ] {
        let output = siltstone(arguments, variables);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
}

/// Not a test: the process that the next one sends signals to.
#[test]
#[ignore = "started by should_drain_at_the_first_signal_and_end_at_the_second"]
fn process_that_waits_for_signals() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let signals = Signals::catch().unwrap();
        println!("\nlistening");
        signals.first_then_exit().await;
        println!("draining");
        std::future::pending::<()>().await;
    });
}

#[test]
fn should_drain_at_the_first_signal_and_end_at_the_second() {
    for (first, second) in [("-TERM", "-TERM"), ("-INT", "-TERM")] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process_that_waits_for_signals", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id().to_string();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line == "listening"));
        assert!(Command::new("kill").args([first, &pid]).status().unwrap().success());
        assert!(lines.any(|line| line == "draining"));
        assert!(Command::new("kill").args([second, &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}
