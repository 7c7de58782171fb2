//! How deep a statement may nest: what is planned, evaluated and put down level by level must not use up a stack.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::error::SqlError;

/// Words and signs each of which may add a level. Brackets are bounded by the parser.
const MOST_OPERATORS: usize = 1_000;

pub(super) fn check_depth(statement: &str) -> Result<(), SqlError> {
    // What cannot be cut into words is the parser's to complain about.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, statement).tokenize() else { return Ok(()) };
    let operators = tokens.iter().filter(|token| may_nest(token)).count();
    if operators > MOST_OPERATORS {
        Err(SqlError::TooDeep { operators, most: MOST_OPERATORS })
    } else {
        Ok(())
    }
}

fn may_nest(token: &Token) -> bool {
    match token {
        Token::Word(word) => !matches!(word.keyword, Keyword::NoKeyword),
        Token::Whitespace(_)
        | Token::Comma
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::LParen
        | Token::RParen => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_bound_what_may_nest_and_not_what_is_long() {
        let list: Vec<String> = (0..50_000).map(|number| format!("'{number}'")).collect();
        assert!(check_depth(&format!("SELECT 1 FROM spans WHERE name IN ({})", list.join(", "))).is_ok());
        for operator in ["OR", "+", "AND NOT", "UNION ALL SELECT", "::text ="] {
            let statement = vec!["1"; 1_200].join(&format!(" {operator} "));
            assert!(check_depth(&statement).is_err(), "{operator}");
        }
        assert!(check_depth("SELECT 'never closed").is_ok());
    }
}
