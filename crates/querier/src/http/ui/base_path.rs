//! The path below which everything on the query port lies: behind a proxy that has other things too.

use std::fmt;
use std::str::FromStr;

/// Empty, or `/a/b`: it stands in routes and in HTML as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(String);

/// Why a text is no base path.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot be `{0}`: write a path that begins with a slash and does not end with one, of letters, digits and -._~, \
     such as /jaeger"
)]
pub struct NoBasePath(String);

impl BasePath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BasePath {
    type Err = NoBasePath;

    fn from_str(text: &str) -> Result<Self, NoBasePath> {
        if ["", "/"].contains(&text) {
            return Ok(Self::default());
        }
        let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"-._~".contains(&letter);
        let is_name = |name: &str| !["", ".", ".."].contains(&name) && name.bytes().all(is_plain);
        match text.strip_prefix('/') {
            Some(names) if names.split('/').all(is_name) => Ok(Self(text.to_owned())),
            _ => Err(NoBasePath(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_take_paths_that_stand_in_routes_and_html_as_they_are() {
        for (text, path) in [("", ""), ("/", ""), ("/jaeger", "/jaeger"), ("/a-b/c.d_~", "/a-b/c.d_~")] {
            assert_eq!(text.parse::<BasePath>().unwrap().as_str(), path);
        }
        for text in ["jaeger", "/jaeger/", "//", "/a//b", "/a/../b", "/{x}", "/a\"b", "/a b", "/ä", "/*"] {
            let error = text.parse::<BasePath>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("cannot be `{text}`: write ")), "{error}");
        }
    }
}
