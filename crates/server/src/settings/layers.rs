//! Settings as they are written: in the file, in variables, as flags. Later layers win; each value remembers
//! where it came from, so that a complaint names the place.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use siltstone_format::tenant::Tenant;
use toml::de::{DeTable, DeValue};

use super::list::{self, Kind, Setting};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::Flag(name) => write!(f, "the flag --{name}"),
        }
    }
}

/// A value as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Lists: one per line, which no value contains.
    pub text: String,
    pub origin: Origin,
}

/// Why settings cannot be read or do not make sense.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the settings file {path} cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: {what}")]
    Syntax { path: PathBuf, line: usize, what: String },
    #[error("{place}: there is no setting `{name}`{hint}; `siltstone settings` lists all")]
    Unknown { place: String, name: String, hint: String },
    #[error("{place}: `{name}` {what}")]
    Value { place: String, name: String, what: String },
}

/// The values of all settings that were written, and of the limits of tenants that have their own.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    pub values: BTreeMap<&'static str, Written>,
    pub tenants: BTreeMap<Tenant, BTreeMap<&'static str, Written>>,
    /// What may be a mistake.
    pub doubts: Vec<String>,
}

impl Layers {
    pub(crate) fn defaults() -> Self {
        let mut layers = Self::default();
        for setting in list::ALL.iter().filter(|setting| !setting.default.is_empty()) {
            layers.set(setting, setting.default.to_owned(), Origin::Default);
        }
        layers
    }

    pub(crate) fn set(&mut self, setting: &'static Setting, text: String, origin: Origin) {
        self.values.insert(setting.name, Written { text, origin });
    }

    /// A file that was named must be there.
    pub(crate) fn add_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
        self.add_toml(path, &text)
    }

    pub(crate) fn add_toml(&mut self, path: &Path, text: &str) -> Result<(), SettingsError> {
        let file = File { path, text };
        let root = DeTable::parse(text).map_err(|error| SettingsError::Syntax {
            path: path.to_owned(),
            line: file.line(error.span().map_or(0, |span| span.start)),
            what: error.message().to_owned(),
        })?;
        self.add_table(&file, "", root.get_ref())
    }

    /// A table within tables: its name and a dot stand before its keys.
    fn add_table(&mut self, file: &File<'_>, prefix: &str, table: &DeTable<'_>) -> Result<(), SettingsError> {
        for (key, value) in table {
            let line = file.line(key.span().start);
            let name = format!("{prefix}{}", key.get_ref());
            match value.get_ref() {
                DeValue::Table(tenants) if name == "limits.tenants" => self.add_tenants(file, tenants)?,
                // How deep tables go is bounded by the parser.
                DeValue::Table(table) => self.add_table(file, &format!("{name}."), table)?,
                value => {
                    let setting = file.known(line, &name)?;
                    let text = file.text_of(line, setting, value)?;
                    self.set(setting, text, file.origin(line));
                }
            }
        }
        Ok(())
    }

    fn add_tenants(&mut self, file: &File<'_>, tenants: &DeTable<'_>) -> Result<(), SettingsError> {
        for (key, value) in tenants {
            let line = file.line(key.span().start);
            let complain = |what: String| SettingsError::Value {
                place: file.origin(line).to_string(),
                name: format!("limits.tenants.{}", key.get_ref()),
                what,
            };
            let tenant: Tenant =
                key.get_ref().parse().map_err(|error: siltstone_format::tenant::TenantError| {
                    complain(format!("cannot be a tenant: {error}"))
                })?;
            let DeValue::Table(limits) = value.get_ref() else {
                return Err(complain("must be a table of limits".to_owned()));
            };
            let own = self.tenants.entry(tenant).or_default();
            for (key, value) in limits {
                let line = file.line(key.span().start);
                let setting = file.known(line, &format!("limits.default.{}", key.get_ref()))?;
                let text = file.text_of(line, setting, value.get_ref())?;
                own.insert(setting.name, Written { text, origin: file.origin(line) });
            }
        }
        Ok(())
    }

    /// Variables that begin with `SILTSTONE_`. One that is unknown may be somebody else's: Kubernetes sets
    /// several for each service, and one may be called siltstone.
    pub(crate) fn add_variables(&mut self, variables: &[(String, String)]) {
        for (name, text) in variables.iter().filter(|(name, _)| name.starts_with("SILTSTONE_")) {
            let setting = list::ALL.iter().find(|setting| setting.variable() == *name);
            if let Some(setting) = setting {
                let text = if setting.kind == Kind::List { lines_of(text) } else { text.clone() };
                self.set(setting, text, Origin::Variable(name.clone()));
            } else if name != super::FILE_VARIABLE && !name.contains("_SERVICE_") && !name.contains("_PORT") {
                let hint = did_you_mean(name, list::ALL.iter().map(Setting::variable));
                self.doubts.push(format!("the variable {name} is no setting{hint}"));
            }
        }
    }
}

/// `a, b` as lines.
pub(crate) fn lines_of(text: &str) -> String {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

/// The file while it is read.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn origin(&self, line: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line }
    }

    fn known(&self, line: usize, name: &str) -> Result<&'static Setting, SettingsError> {
        list::find(name).ok_or_else(|| SettingsError::Unknown {
            place: self.origin(line).to_string(),
            name: name.to_owned(),
            hint: did_you_mean(name, list::ALL.iter().map(|setting| setting.name.to_owned())),
        })
    }

    fn text_of(&self, line: usize, setting: &Setting, value: &DeValue<'_>) -> Result<String, SettingsError> {
        let text = match (setting.kind, value) {
            (Kind::List, DeValue::Array(items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(|item| plain(item.get_ref())).collect();
                texts.map(|texts| texts.join("\n"))
            }
            (Kind::List, _) => None,
            (Kind::Switch, DeValue::Boolean(on)) => Some(on.to_string()),
            (Kind::Bytes | Kind::Count, DeValue::Integer(number)) if number.radix() == 10 => {
                Some(number.as_str().to_owned())
            }
            (_, value) => plain(value).map(str::to_owned),
        };
        text.ok_or_else(|| SettingsError::Value {
            place: self.origin(line).to_string(),
            name: setting.name.to_owned(),
            what: format!("must be written as {}", setting.unit()),
        })
    }
}

fn plain<'a>(value: &'a DeValue<'_>) -> Option<&'a str> {
    match value {
        DeValue::String(text) if !text.contains('\n') => Some(text),
        _ => None,
    }
}

/// The known name that is nearest, if one is near.
fn did_you_mean(name: &str, known: impl Iterator<Item = String>) -> String {
    let nearest = known.map(|known| (distance(name, &known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 1 + name.len() / 4 => format!(" (did you mean `{known}`?)"),
        _ => String::new(),
    }
}

/// How many letters must be changed, added or left out.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(other.chars()) {
            let changed = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = changed.min(*cell + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}
