//! What somebody may have meant who wrote a name that there is not.

/// The closest of some names, if one is close.
pub fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let most = (length / 3).max(1);
    // Names that differ by more in length alone need no comparison, however long somebody made one.
    let near = known.filter(|known| known.chars().count().abs_diff(length) <= most);
    let distances = near.map(|known| (distance(name, known), known));
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, known)| known)
}

/// How many letters must be changed, added or left out.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (number, a) in one.chars().enumerate() {
        let (mut diagonal, mut left) = (number, number + 1);
        let mut cells = row.iter_mut();
        if let Some(first) = cells.next() {
            *first = left;
        }
        for (cell, b) in cells.zip(other.chars()) {
            let changed = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = changed.min(*cell + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_find_what_is_meant_and_guess_nothing_that_is_far() {
        let known = ["http.route", "http.request.method", "spans", "traces"];
        let closest = |name| closest(name, known.into_iter());
        assert_eq!(closest("http.rout"), Some("http.route"));
        assert_eq!(closest("http.requst.metod"), Some("http.request.method"));
        assert_eq!(closest("span"), Some("spans"));
        assert_eq!(closest("db.system"), None);
        assert_eq!(closest(&"x".repeat(1 << 20)), None);
    }

    #[test]
    fn should_count_letters_that_differ() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "", 2),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
            ("ä", "a", 1),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
