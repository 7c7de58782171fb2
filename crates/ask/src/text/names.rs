//! What fields and levels are called in a text.

use super::error::shown;
use crate::field::Field;
use crate::filter::Level;
use crate::meant::closest;

/// What the table `spans` of SQL calls fields that have a shorter name here.
const ALIASES: [(&str, Field); 3] =
    [("status_code", Field::StatusCode), ("start_time", Field::Start), ("end_time", Field::End)];

const LEVELS: [(&str, Level); 6] = [
    ("span", Level::Span),
    ("resource", Level::Resource),
    ("scope", Level::Scope),
    ("event", Level::Event),
    ("link", Level::Link),
    ("any", Level::Any),
];

pub(super) fn field_name(field: Field) -> String {
    match field {
        Field::StatusCode => "status".to_owned(),
        _ => field.name().replace(' ', "_"),
    }
}

pub(super) fn field_of(word: &str) -> Option<Field> {
    let alias = ALIASES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    let is_called = |field: &Field| field_name(*field).eq_ignore_ascii_case(word);
    alias.map(|(_, field)| field).or_else(|| Field::ALL.into_iter().find(is_called))
}

pub(super) fn level_of(word: &str) -> Option<Level> {
    LEVELS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, level)| level)
}

/// What to say of a word that is no field.
pub(super) fn without_field(word: &str) -> String {
    let fields = Field::ALL.map(field_name);
    let names = fields.iter().map(String::as_str).chain(ALIASES.into_iter().map(|(name, _)| name));
    let instead = match closest(&word.to_ascii_lowercase(), names) {
        Some(field) => format!(": did you mean `{field}`?"),
        None => format!("; an attribute is written as span[\"{0}\"] or any[\"{0}\"]", shown(word)),
    };
    format!("there is no field `{}`{instead}", shown(word))
}

/// What to say of a word before a key that is no level.
pub(super) fn without_level(word: &str) -> String {
    let names = LEVELS.map(|(name, _)| name);
    let guess = closest(&word.to_ascii_lowercase(), names.into_iter())
        .map_or_else(String::new, |level| format!(": did you mean `{level}`?"));
    format!("no attributes are called `{}`{guess} There are {}", shown(word), names.join(", "))
}

pub(super) fn level_name(level: Level) -> &'static str {
    let name = LEVELS.into_iter().find(|(_, known)| *known == level).map(|(name, _)| name);
    name.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_know_every_field_by_its_name_and_by_that_of_sql_in_any_case() {
        for field in Field::ALL {
            assert_eq!(field_of(&field_name(field)), Some(field));
            assert_eq!(field_of(&field_name(field).to_ascii_uppercase()), Some(field));
        }
        assert_eq!(field_of("status_code"), Some(Field::StatusCode));
        assert_eq!(field_of("service name"), None);
        assert_eq!(LEVELS.map(|(name, _)| level_of(name)), LEVELS.map(|(_, level)| Some(level)));
    }

    #[test]
    fn should_guess_what_is_meant() {
        assert_eq!(
            without_field("Sevice_name"),
            "there is no field `Sevice_name`: did you mean `service_name`?"
        );
        assert_eq!(
            without_field("http.route"),
            r#"there is no field `http.route`; an attribute is written as span["http.route"] or any["http.route"]"#
        );
        assert_eq!(
            without_level("resorce"),
            "no attributes are called `resorce`: did you mean `resource`? There are span, resource, scope, event, \
             link, any"
        );
    }
}
