//! The command line: every setting as a flag, and what can be asked of the program beside running.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use siltstone_ask::{Filter, Retention, Window};
use siltstone_catalog::sweep::SweepMode;
use siltstone_format::day::Day;
use siltstone_format::id::{ObjectId, TraceId};
use siltstone_format::tenant::Tenant;
use siltstone_querier::jaeger::time::unix_nano_of_rfc3339;
use siltstone_querier::usage::{Days, UsageOf};

use crate::delete::{self, Deletion};
use crate::retention::{OfTenant, What};
use crate::settings::list::{self, Kind, Setting};
use crate::settings::{FILE_VARIABLE, Layers, Origin, Resolved, Role, SettingsError, USUAL_FILE, lines_of};

const ABOUT: &str = "A store for distributed traces on object storage.";

const HELP: &str = "\
Started without anything, it does everything: it takes OTLP traces on 127.0.0.1:4317 (gRPC) and 127.0.0.1:4318
(HTTP) and keeps them in ./siltstone-data. What is answered with success is safe. http://127.0.0.1:16686 shows the
newest traces.

Settings come from a file (--config, or ./siltstone.toml if it is there), from variables (SILTSTONE_…) and from
flags; later ones win. `siltstone settings` explains all of them.

SIGTERM or SIGINT end it in order: it finishes what it has taken. A second signal ends it at once.";

/// Shorter names of flags.
const ALIASES: [(&str, &str); 1] = [("query.ui_dir", "ui-dir")];

/// What was asked for.
#[derive(Debug)]
pub enum Asked {
    Run(Box<Resolved>),
    /// Merge all that there is, and end.
    CompactOnce(Box<Resolved>),
    Sweep(Box<Resolved>, SweepMode),
    /// Keep traces from now on.
    Archive(Box<Resolved>, Tenant, Vec<TraceId>),
    Delete(Box<Resolved>, Deletion),
    /// What is left of what was deleted; none: which deletions there are.
    Deletion(Box<Resolved>, Option<ObjectId>),
    /// What spans take in the store, for people or as JSON.
    Usage {
        settings: Box<Resolved>,
        of: UsageOf,
        json: bool,
    },
    /// How long traces are kept.
    Retention(Box<Resolved>, OfTenant),
    /// Text for standard output.
    Print(String),
}

/// Reads the command line and whatever it leads to. Help, the version and mistakes in flags end the process.
pub fn asked(
    arguments: impl Iterator<Item = std::ffi::OsString>,
    variables: &[(String, String)],
) -> Result<Asked, SettingsError> {
    let matches = command().get_matches_from(arguments);
    if let Some(("settings", given)) = matches.subcommand() {
        let text = if given.get_flag("markdown") { list::as_markdown() } else { list::as_text() };
        return Ok(Asked::Print(text));
    }
    match matches.subcommand() {
        Some(("compact", given)) => {
            let mut resolved = Box::new(resolved(given, variables)?);
            resolved.role = Role::Compact;
            Ok(if given.get_flag("once") { Asked::CompactOnce(resolved) } else { Asked::Run(resolved) })
        }
        Some(("sweep", given)) => {
            let mode = if given.get_flag("dry-run") { SweepMode::DryRun } else { SweepMode::Delete };
            Ok(Asked::Sweep(Box::new(resolved(given, variables)?), mode))
        }
        Some(("archive", given)) => {
            Ok(Asked::Archive(Box::new(resolved(given, variables)?), tenant_in(given), traces_in(given)))
        }
        Some(("delete", given)) => {
            let deletion = Deletion {
                tenant: tenant_in(given),
                what: match given.get_one::<Filter>("where") {
                    Some(filter) => delete::What::Matching { filter: filter.clone(), window: window(given) },
                    None => delete::What::Traces(traces_in(given)),
                },
                confirmed: given.get_flag("yes"),
            };
            Ok(Asked::Delete(Box::new(resolved(given, variables)?), deletion))
        }
        Some(("deletion", given)) => {
            let id = given.get_one::<ObjectId>("id").copied();
            Ok(Asked::Deletion(Box::new(resolved(given, variables)?), id))
        }
        Some(("usage", given)) => {
            let day = |name, absent| given.get_one::<Day>(name).copied().unwrap_or(absent);
            let days = Days { first: day("from", Days::ALL.first), last: day("to", Days::ALL.last) };
            let (of, json) = (UsageOf { tenant: tenant_in(given), days }, given.get_flag("json"));
            Ok(Asked::Usage { settings: Box::new(resolved(given, variables)?), of, json })
        }
        Some(("retention", given)) => {
            let (what, given) = match given.subcommand() {
                Some(("set", given)) => (given.get_one::<Retention>("rules").cloned().map(What::Set), given),
                Some((_, given)) => (Some(What::Clear), given),
                None => (None, given),
            };
            let reapply = what.is_some() && given.get_flag("reapply");
            let tenant = tenant_in(given);
            let (what, dry_run) = (what.unwrap_or(What::Show), given.get_flag("dry-run"));
            let of = OfTenant { tenant, what, reapply, dry_run };
            Ok(Asked::Retention(Box::new(resolved(given, variables)?), of))
        }
        _ => Ok(Asked::Run(Box::new(resolved(&matches, variables)?))),
    }
}

fn tenant_in(given: &ArgMatches) -> Tenant {
    given.get_one::<Tenant>("tenant").cloned().unwrap_or_else(Tenant::single)
}

fn traces_in(given: &ArgMatches) -> Vec<TraceId> {
    given.get_many::<TraceId>("trace").into_iter().flatten().copied().collect()
}

fn window(given: &ArgMatches) -> Window {
    let time = |name| given.get_one::<u64>(name).copied();
    Window { start: time("from").unwrap_or(Window::ALL.start), end: time("to").unwrap_or(Window::ALL.end) }
}

fn resolved(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Resolved, SettingsError> {
    let mut layers = Layers::defaults();
    let named = matches.get_one::<PathBuf>("config").cloned().or_else(|| {
        let variable = variables.iter().find(|(name, _)| name == FILE_VARIABLE);
        variable.map(|(_, path)| PathBuf::from(path))
    });
    match named {
        Some(path) => layers.add_file(&path)?,
        None if PathBuf::from(USUAL_FILE).exists() => layers.add_file(USUAL_FILE.as_ref())?,
        None => {}
    }
    layers.add_variables(variables);
    for setting in list::ALL {
        let Some(flag) = setting.flag() else { continue };
        let Some(text) = matches.get_one::<String>(&flag) else { continue };
        let text = if setting.kind == Kind::List { lines_of(text) } else { text.clone() };
        layers.set(setting, text, Origin::Flag(flag));
    }
    Resolved::from_layers(&layers)
}

fn command() -> Command {
    let settings = Command::new("settings")
        .about("Print all settings: value, default, meaning, flag and variable")
        .arg(Arg::new("markdown").long("markdown").action(ArgAction::SetTrue).help("As a table in Markdown"));
    let switch = |name: &'static str, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let compact = Command::new("compact")
        .about("Merge small blocks into large ones: as a service, or once")
        .arg(switch("once", "Merge all that there is, delete what nobody needs, and end"));
    let sweep = Command::new("sweep")
        .about("Delete objects that nobody needs any more")
        .arg(switch("dry-run", "Only print what would be deleted"));
    let time = |name: &'static str, help| {
        let parser = |text: &str| unix_nano_of_rfc3339(text);
        Arg::new(name).long(name).value_name("TIME").value_parser(parser).requires("where").help(help)
    };
    let archive = Command::new("archive")
        .about("Keep traces from now on, whatever is kept of others")
        .arg(traces().required(true))
        .arg(tenant());
    let deletion = Command::new("deletion")
        .about("Say what is left of what was deleted; without an id, list all deletions")
        .arg(Arg::new("id").value_name("ID").value_parser(clap::value_parser!(ObjectId)));
    let delete = Command::new("delete")
        .about("Delete traces for good; without --yes, say what that would be about")
        .arg(traces().required_unless_present("where").conflicts_with("where"))
        .arg(
            Arg::new("where")
                .long("where")
                .value_name("FILTER")
                .value_parser(clap::value_parser!(Filter))
                .help("Whole traces of which one span matches now, such as 'service_name = \"payment\"'"),
        )
        .arg(time("from", "And starts at this time or later"))
        .arg(time("to", "And starts before this time"))
        .arg(tenant())
        .arg(switch("yes", "Do it: there is no way back"));
    let day = |name: &'static str, help| {
        Arg::new(name).long(name).value_name("DAY").value_parser(clap::value_parser!(Day)).help(help)
    };
    let usage = Command::new("usage")
        .about("Say what spans take in the store: by day and class, by service, by attribute")
        .arg(tenant())
        .arg(day("from", "The first day (UTC), such as 2026-11-21"))
        .arg(day("to", "The last day"))
        .arg(switch("json", "As JSON, with all that there is"));
    let of_tenant = |command: Command| {
        let dry_run = switch("dry-run", "Change nothing, and say of each day which traces are kept how long");
        with_settings(command.arg(tenant()).arg(dry_run))
    };
    let reapply = switch("reapply", "Decide what was decided before anew");
    let rules =
        Arg::new("rules").value_name("RULES").value_parser(clap::value_parser!(Retention)).required(true);
    let set = Command::new("set")
        .about("Give a tenant rules of its own, such as 'keep 7d; keep 90d where status = error'")
        .arg(rules)
        .arg(reapply.clone());
    let clear = Command::new("clear")
        .about("Take a tenant's own rules away, so that those of the settings hold")
        .arg(reapply);
    let retention = of_tenant(Command::new("retention"))
        .about("Say how long a tenant's traces are kept, and what of them is decided; or set rules")
        .args_conflicts_with_subcommands(true)
        .subcommands([set, clear].map(of_tenant));
    let root = Command::new("siltstone")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(format!("{ABOUT}\n\n{HELP}"))
        .subcommand(settings)
        .args_conflicts_with_subcommands(true);
    let others = [compact, sweep, archive, delete, deletion, usage].map(with_settings);
    with_settings(root).subcommands(others).subcommand(retention)
}

fn traces() -> Arg {
    let ids = Arg::new("trace").value_name("TRACE-ID").num_args(1..);
    ids.value_parser(clap::value_parser!(TraceId)).help("Ids of 32 hex digits")
}

fn tenant() -> Arg {
    let name = Arg::new("tenant").long("tenant").value_name("NAME");
    name.value_parser(clap::value_parser!(Tenant)).help("Whose traces, where there are tenants")
}

/// A command that takes every setting as a flag.
fn with_settings(command: Command) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("The settings file [SILTSTONE_CONFIG]");
    command.arg(config).args(list::ALL.iter().filter_map(argument))
}

fn argument(setting: &'static Setting) -> Option<Arg> {
    let flag = setting.flag()?;
    let meaning = match setting.default {
        "" => setting.meaning.to_owned(),
        default => format!("{} [default: {default}]", setting.meaning),
    };
    let value = match setting.kind {
        Kind::Text | Kind::Secret => "TEXT".to_owned(),
        Kind::Word(words) => words.join("|"),
        Kind::Address => "ADDRESS:PORT".to_owned(),
        Kind::Bytes => "BYTES".to_owned(),
        Kind::Count => "NUMBER".to_owned(),
        Kind::Duration => "DURATION".to_owned(),
        Kind::Switch => "true|false".to_owned(),
        Kind::List => "TEXT,…".to_owned(),
    };
    let mut argument = Arg::new(flag.clone()).long(flag).value_name(value).help(meaning);
    if let Some((_, alias)) = ALIASES.iter().find(|(name, _)| *name == setting.name) {
        argument = argument.visible_alias(*alias);
    }
    // The everyday ones; the rest is in `siltstone settings`.
    let is_rare = ["limits.", "s3.", "gcs.", "azure."].iter().any(|table| setting.name.starts_with(table));
    Some(argument.hide_short_help(is_rare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_have_a_sound_command_line() {
        command().debug_assert();
    }

    #[test]
    fn should_take_the_short_names_of_flags() {
        for (name, alias) in ALIASES {
            let flag = list::find(name).and_then(Setting::flag).unwrap();
            let matches = command().get_matches_from(["siltstone", &format!("--{alias}"), "there"]);
            assert_eq!(matches.get_one::<String>(&flag).map(String::as_str), Some("there"));
        }
    }
}
