//! A query as text, into a tree.
//!
//! ```text
//! query   = sum (compared sum)…      compared = "==" | "!=" | "<" | "<=" | ">" | ">="
//! sum     = product ("+" | "-" product)…
//! product = operand ("*" | "/" operand)…
//! operand = number | "-" operand | "(" query ")"
//!         | ("rate" | "increase") "(" selector "[" duration "]" ")"
//!         | "histogram_quantile" "(" query "," query ")"
//!         | operator [by] "(" query ")" [by]      | "topk" [by] "(" query "," query ")" [by]
//! ```

use siltstone_ask::{MAX_PATTERNS, Pattern};

use super::expr::{Binary, Expr, Grouping, Matcher, Operator, Rate, Test};
use super::names::{self, Metric};

pub(super) const MOST_BYTES: usize = 16 << 10;
const MOST_DEPTH: usize = 32;
/// The label that is the name of a metric.
pub(super) const NAME: &str = "__name__";
const MOST_OPERATORS: usize = 128;
const MOST_MATCHERS: usize = 64;

/// Why a text is no query that can be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {problem}")]
pub(super) struct TextError {
    /// From 1 on.
    pub(super) at: usize,
    pub(super) problem: String,
}

/// Reads a query.
pub(super) fn parse(text: &str) -> Result<Expr, TextError> {
    let mut parser = Parser::of(text)?;
    let expr = parser.compared()?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.unexpected("an operator, or the end")),
    }
}

/// Reads what series are asked for by.
pub(super) fn parse_selector(text: &str) -> Result<Selector, TextError> {
    let mut parser = Parser::of(text)?;
    let selector = parser.selector()?;
    match parser.peek() {
        None => Ok(selector),
        Some(_) => Err(parser.unexpected("the end")),
    }
}

/// Which series of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Selector {
    pub(super) name: String,
    pub(super) metric: Metric,
    pub(super) matchers: Vec<Matcher>,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    operators: usize,
    matchers: usize,
    patterns: usize,
}

const OPERATORS: [(&str, Operator); 6] = [
    ("sum", Operator::Sum),
    ("avg", Operator::Average),
    ("min", Operator::Least),
    ("max", Operator::Most),
    ("count", Operator::Count),
    ("group", Operator::Group),
];

const COMPARED: [(&str, Binary); 6] = [
    ("==", Binary::Equal),
    ("!=", Binary::NotEqual),
    ("<=", Binary::LessOrEqual),
    (">=", Binary::GreaterOrEqual),
    ("<", Binary::Less),
    (">", Binary::Greater),
];

const SUMS: [(&str, Binary); 2] = [("+", Binary::Add), ("-", Binary::Subtract)];
const PRODUCTS: [(&str, Binary); 2] = [("*", Binary::Multiply), ("/", Binary::Divide)];

/// Words that stand behind an operand or between two, and are not answered.
const REFUSED: [&str; 10] =
    ["and", "or", "unless", "offset", "bool", "on", "ignoring", "group_left", "group_right", "atan2"];

impl<'a> Parser<'a> {
    fn of(text: &'a str) -> Result<Self, TextError> {
        let parser = Self { text, at: 0, depth: 0, operators: 0, matchers: 0, patterns: 0 };
        match text.len() > MOST_BYTES {
            true => Err(parser.error(format!("the query has more than {MOST_BYTES} bytes"))),
            false => Ok(parser),
        }
    }

    fn compared(&mut self) -> Result<Expr, TextError> {
        self.chain(&COMPARED, |parser| parser.chain(&SUMS, |parser| parser.chain(&PRODUCTS, Self::operand)))
    }

    /// Operands with operators between them, from left to right.
    fn chain(
        &mut self,
        operators: &[(&str, Binary)],
        mut operand: impl FnMut(&mut Self) -> Result<Expr, TextError>,
    ) -> Result<Expr, TextError> {
        let mut left = operand(self)?;
        loop {
            self.refuse_words()?;
            let next = operators.iter().find(|(sign, _)| self.takes(sign));
            let Some((_, operator)) = next else { return Ok(left) };
            self.operators += 1;
            if self.operators > MOST_OPERATORS {
                return Err(self.error(format!("it has more than {MOST_OPERATORS} operators")));
            }
            self.refuse_words()?;
            let right = operand(self)?;
            left = Expr::Binary { operator: *operator, left: Box::new(left), right: Box::new(right) };
        }
    }

    fn operand(&mut self) -> Result<Expr, TextError> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(self.error(format!("it is nested more than {MOST_DEPTH} levels deep")));
        }
        let operand = match self.peek() {
            Some('(') => {
                self.expect('(')?;
                let inner = self.compared()?;
                self.expect(')')?;
                inner
            }
            Some('-') => {
                self.expect('-')?;
                let (zero, inner) = (Expr::Number(0.0), self.operand()?);
                Expr::Binary { operator: Binary::Subtract, left: Box::new(zero), right: Box::new(inner) }
            }
            Some('0'..='9' | '.') => Expr::Number(self.number()?),
            Some(first) if is_of_name(first) => self.named()?,
            Some('{') => return Err(self.error("name the metric before its labels".to_owned())),
            _ => return Err(self.unexpected("a number, a function or a metric")),
        };
        self.depth -= 1;
        match self.peek() {
            Some('[') => Err(self.error(
                "a range stands within `rate` or `increase`, and subqueries are not answered".to_owned(),
            )),
            Some('@') => Err(self.error("`@` is not answered".to_owned())),
            _ => Ok(operand),
        }
    }

    fn named(&mut self) -> Result<Expr, TextError> {
        let begin = self.at;
        let name = self.name()?;
        let lower = name.to_ascii_lowercase();
        if let Some((_, operator)) = OPERATORS.iter().find(|(known, _)| *known == lower) {
            let (grouping, [of]) = self.aggregated(&lower)?;
            return Ok(Expr::Aggregate { operator: *operator, grouping, of: Box::new(of) });
        }
        match lower.as_str() {
            "topk" | "bottomk" => {
                let (grouping, [count, of]) = self.aggregated(&lower)?;
                let (count, of) = (Box::new(count), Box::new(of));
                Ok(Expr::First { most: lower == "topk", count, grouping, of })
            }
            "rate" | "increase" => self.rate(lower == "rate"),
            "histogram_quantile" => {
                let [share, of] = self.arguments(&lower)?;
                Ok(Expr::Quantile { share: Box::new(share), of: Box::new(of) })
            }
            "inf" => Ok(Expr::Number(f64::INFINITY)),
            "nan" => Ok(Expr::Number(f64::NAN)),
            _ if Metric::of_name(name).is_some() => Err(self.error_at(
                begin,
                format!("nobody keeps `{name}` as a counter: ask for `rate({name}[5m])` or `increase`"),
            )),
            _ if self.peek() == Some('(') => Err(self.error_at(
                begin,
                format!(
                    "`{name}` is not answered: there are rate, increase, histogram_quantile, sum, avg, min, max, \
                     count, group, topk and bottomk"
                ),
            )),
            _ => Err(self.error_at(begin, names::unknown(name))),
        }
    }

    /// Its arguments, and what tells its groups apart, before them or behind them.
    fn aggregated<const N: usize>(&mut self, name: &str) -> Result<(Grouping, [Expr; N]), TextError> {
        let before = self.grouping()?;
        let arguments = self.arguments(name)?;
        let grouping = match before {
            Some(before) => Some(before),
            None => self.grouping()?,
        };
        Ok((grouping.unwrap_or(Grouping::By(Vec::new())), arguments))
    }

    fn arguments<const N: usize>(&mut self, name: &str) -> Result<[Expr; N], TextError> {
        self.expect('(')?;
        let mut arguments = vec![self.compared()?];
        while self.takes(",") {
            arguments.push(self.compared()?);
        }
        self.expect(')')?;
        let given = arguments.len();
        let wrong = |_| self.error(format!("`{name}` takes {N} arguments, and {given} are given"));
        arguments.try_into().map_err(wrong)
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, TextError> {
        let begin = self.at;
        let make = match self.peek_name().to_ascii_lowercase().as_str() {
            "by" => Grouping::By,
            "without" => Grouping::Without,
            _ => return Ok(None),
        };
        self.name()?;
        if self.peek() != Some('(') {
            self.at = begin;
            return Ok(None);
        }
        self.expect('(')?;
        let mut labels = Vec::new();
        while self.peek() != Some(')') {
            labels.push(self.name()?.to_owned());
            if !self.takes(",") {
                break;
            }
        }
        self.expect(')')?;
        Ok(Some(make(labels)))
    }

    fn rate(&mut self, is_per_second: bool) -> Result<Expr, TextError> {
        self.expect('(')?;
        let Selector { metric, matchers, .. } = self.selector()?;
        self.expect('[')?;
        let range_millis = self.duration()?;
        self.expect(']')?;
        self.refuse_words()?;
        self.expect(')')?;
        Ok(Expr::Rate(Rate { metric, matchers, range_millis, is_per_second }))
    }

    /// `metric{…}`, or `{__name__="metric", …}`.
    fn selector(&mut self) -> Result<Selector, TextError> {
        self.skip_space();
        let begin = self.at;
        let before = if self.peek() == Some('{') { None } else { Some(self.name()?.to_owned()) };
        let mut matchers = if self.peek() == Some('{') { self.matchers()? } else { Vec::new() };
        let within = matchers.iter().position(|matcher| matcher.label == NAME);
        let name = match (before, within.map(|place| matchers.remove(place))) {
            (Some(name), None) => name,
            (None, Some(Matcher { is_negated: false, test: Test::Equals(name), .. })) => name,
            _ => {
                let problem =
                    "the name of a metric stands before the braces, or is one `__name__=\"…\"` in them";
                return Err(self.error_at(begin, problem.to_owned()));
            }
        };
        let metric = Metric::of_name(&name).ok_or_else(|| self.error_at(begin, names::unknown(&name)))?;
        Ok(Selector { name, metric, matchers })
    }

    fn matchers(&mut self) -> Result<Vec<Matcher>, TextError> {
        self.expect('{')?;
        let mut matchers = Vec::new();
        while self.peek() != Some('}') {
            let label = self.name()?.to_owned();
            self.refuse_label(&label)?;
            let signs = ["=~", "!~", "!=", "="];
            let sign = signs.into_iter().find(|sign| self.takes(sign));
            let sign = sign.ok_or_else(|| self.unexpected("one of =, !=, =~, !~"))?;
            let begin = self.at;
            let value = self.quoted()?;
            let test = match sign.ends_with('~') {
                true => {
                    self.patterns += 1;
                    if self.patterns > MAX_PATTERNS {
                        return Err(
                            self.error(format!("it has more than {MAX_PATTERNS} regular expressions"))
                        );
                    }
                    let pattern = Pattern::new(&value);
                    Test::Matches(pattern.map_err(|error| self.error_at(begin, error.to_string()))?)
                }
                false => Test::Equals(value),
            };
            matchers.push(Matcher { label, is_negated: sign.starts_with('!'), test });
            if !self.takes(",") {
                break;
            }
        }
        self.expect('}')?;
        Ok(matchers)
    }

    fn refuse_label(&mut self, label: &str) -> Result<(), TextError> {
        self.matchers += 1;
        let problem = match label {
            _ if self.matchers > MOST_MATCHERS => {
                format!("it has more than {MOST_MATCHERS} labels in braces")
            }
            "le" => {
                "`le` is not chosen in braces: ask for `histogram_quantile`, or for all, `by (le)`".to_owned()
            }
            _ => return Ok(()),
        };
        Err(self.error(problem))
    }

    /// `1h30m`, in milliseconds.
    fn duration(&mut self) -> Result<u64, TextError> {
        self.skip_space();
        let begin = self.at;
        let text = self.taken_while(|c| c.is_ascii_alphanumeric());
        let wrong = || self.error_at(begin, format!("`{text}` is no duration, such as 5m or 1h30m"));
        millis_of(text).filter(|millis| *millis > 0).ok_or_else(wrong)
    }

    fn number(&mut self) -> Result<f64, TextError> {
        self.skip_space();
        let begin = self.at;
        let mut before = ' ';
        let text = self.taken_while(|c| {
            let is_part = c.is_ascii_alphanumeric() || c == '.' || (matches!(c, '+' | '-') && before == 'e');
            before = c.to_ascii_lowercase();
            is_part
        });
        text.parse().map_err(|_| self.error_at(begin, format!("`{text}` is no number")))
    }

    fn name(&mut self) -> Result<&'a str, TextError> {
        self.skip_space();
        let name = self.taken_while(is_of_name);
        match name.is_empty() {
            true => Err(self.unexpected("a name")),
            false => Ok(name),
        }
    }

    fn peek_name(&mut self) -> &'a str {
        self.skip_space();
        let begin = self.at;
        let name = self.taken_while(is_of_name);
        self.at = begin;
        name
    }

    fn quoted(&mut self) -> Result<String, TextError> {
        let quote = self.peek().filter(|c| matches!(c, '"' | '\'' | '`'));
        let quote = quote.ok_or_else(|| self.unexpected("a text in quotes"))?;
        self.expect(quote)?;
        let mut text = String::new();
        let mut chars = self.text[self.at..].char_indices();
        while let Some((place, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.at += place + c.len_utf8();
                    return Ok(text);
                }
                '\\' if quote != '`' => match chars.next().map(|(_, escaped)| escaped) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c @ ('\\' | '"' | '\'' | '`')) => text.push(c),
                    other => {
                        let escaped = other.unwrap_or(' ');
                        return Err(self.error_at(
                            self.at + place,
                            format!("`\\{escaped}` means nothing: a backslash itself is `\\\\`"),
                        ));
                    }
                },
                other => text.push(other),
            }
        }
        Err(self.error(format!("the text has no {quote} at its end")))
    }

    fn refuse_words(&mut self) -> Result<(), TextError> {
        let word = self.peek_name();
        match REFUSED.contains(&word.to_ascii_lowercase().as_str()) {
            true => Err(self.error(format!("`{word}` is not answered"))),
            false => Ok(()),
        }
    }

    fn taken_while(&mut self, mut is_part: impl FnMut(char) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let taken = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn skip_space(&mut self) {
        self.taken_while(char::is_whitespace);
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.text[self.at..].chars().next()
    }

    fn takes(&mut self, sign: &str) -> bool {
        self.skip_space();
        let is_next = self.text[self.at..].starts_with(sign);
        self.at += if is_next { sign.len() } else { 0 };
        is_next
    }

    fn expect(&mut self, wanted: char) -> Result<(), TextError> {
        match self.peek() {
            Some(c) if c == wanted => {
                self.at += c.len_utf8();
                Ok(())
            }
            _ => Err(self.unexpected(&format!("`{wanted}`"))),
        }
    }

    fn unexpected(&mut self, wanted: &str) -> TextError {
        let found = self.peek().map_or_else(|| "the end".to_owned(), |c| format!("`{c}`"));
        self.error(format!("here stands {found}, where {wanted} is expected"))
    }

    fn error(&self, problem: String) -> TextError {
        self.error_at(self.at, problem)
    }

    fn error_at(&self, byte: usize, problem: String) -> TextError {
        TextError { at: self.text[..byte.min(self.text.len())].chars().count() + 1, problem }
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':')
}

/// `1h30m`; none if it is not that.
pub(super) fn millis_of(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("y", 31_536_000_000),
    ];
    let (mut rest, mut sum) = (text, 0u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let unit = &unit[..unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len())];
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(count.checked_mul(*millis)?)?;
        rest = &rest[digits + unit.len()..];
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests;
