//! Kinds of spans by the names that Jaeger has for them.

const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/// There is no kind of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unsupported span kind: \"{0}\": write one of unspecified, internal, server, client, producer, consumer"
)]
pub struct UnknownKind(String);

/// The name of OTLP's number; none for 0, which says nothing, and for numbers without a name.
pub fn name_of(number: i32) -> Option<&'static str> {
    let number = usize::try_from(number).ok().filter(|number| *number > 0)?;
    KINDS.get(number).copied()
}

/// OTLP's number of a name in any case.
pub fn number_of(name: &str) -> Result<i32, UnknownKind> {
    let number = (0..).zip(KINDS).find(|(_, kind)| kind.eq_ignore_ascii_case(name));
    number.map(|(number, _)| number).ok_or_else(|| UnknownKind(name.chars().take(64).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_name_the_kinds_that_say_something() {
        assert_eq!(
            [-1, 0, 1, 2, 5, 6].map(name_of),
            [None, None, Some("internal"), Some("server"), Some("consumer"), None]
        );
        assert_eq!((number_of("SERVER"), number_of("unspecified")), (Ok(2), Ok(0)));
        assert!(number_of("sever").unwrap_err().to_string().contains("unsupported span kind: \"sever\""));
    }
}
