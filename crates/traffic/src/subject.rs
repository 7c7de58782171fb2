//! Whom and what one trace is about, so that its spans speak of the same user, session, product and order.

use std::fmt::Write;

use crate::dice::{Dice, mix};

const USERS: u64 = 400_000;
const ADDRESSES: u64 = 50_000;
const PRODUCTS: u64 = 120_000;
const FIRST_ORDER: u64 = 48_210_344;
const CURRENCIES: [&str; 6] = ["EUR", "USD", "GBP", "CHF", "PLN", "SEK"];
const CATEGORIES: [&str; 12] = [
    "shoes",
    "jackets",
    "tents",
    "backpacks",
    "climbing",
    "running",
    "cycling",
    "kids",
    "sale",
    "books",
    "camping",
    "watches",
];
const ASSETS: [&str; 8] =
    ["app", "vendor", "home", "product", "checkout", "fonts/inter-var", "img/logo", "img/sprite"];

#[derive(Debug, Default)]
pub(crate) struct Subject {
    pub(crate) user: u64,
    pub(crate) logged_in: bool,
    pub(crate) session: u64,
    pub(crate) product: u64,
    pub(crate) order: u64,
    pub(crate) address: [u8; 4],
    currency: usize,
    category: usize,
}

impl Subject {
    pub(crate) fn first() -> Self {
        Self { order: FIRST_ORDER, ..Self::default() }
    }

    /// Somebody else comes; a user has the same address and session all day.
    pub(crate) fn renew(&mut self, dice: &mut Dice) {
        self.user = dice.popular(USERS);
        self.logged_in = dice.percent(60);
        let own = mix(self.user, 0x5e55);
        self.session = own;
        // Providers put many customers behind one address.
        let shared = mix(own % ADDRESSES, 0xadd2);
        self.address =
            [shared as u8 % 160 + 31, (shared >> 8) as u8, (shared >> 16) as u8, (shared >> 24) as u8];
        self.currency = dice.popular(CURRENCIES.len() as u64) as usize;
        self.category = dice.popular(CATEGORIES.len() as u64) as usize;
        self.next_product(dice);
    }

    pub(crate) fn next_product(&mut self, dice: &mut Dice) {
        self.product = 100_000 + dice.popular(PRODUCTS);
    }

    /// Order numbers come from a sequence.
    pub(crate) fn next_order(&mut self, dice: &mut Dice) {
        self.order += 1 + dice.below(3);
    }

    pub(crate) fn address_text(&self) -> String {
        let [a, b, c, d] = self.address;
        let mut text = String::with_capacity(15);
        push_decimal(&mut text, u64::from(a));
        for part in [b, c, d] {
            text.push('.');
            push_decimal(&mut text, u64::from(part));
        }
        text
    }

    /// The template with each `{…}` replaced.
    pub(crate) fn fill(&self, template: &str, dice: &mut Dice) -> String {
        let Some(mut open) = template.find('{') else { return template.to_owned() };
        let mut text = String::with_capacity(template.len() + 8);
        let mut rest = template;
        loop {
            text.push_str(&rest[..open]);
            let close = rest[open..].find('}').map_or(rest.len(), |at| open + at);
            self.push(&mut text, &rest[open + 1..close], dice);
            rest = rest.get(close + 1..).unwrap_or_default();
            match rest.find('{') {
                Some(next) => open = next,
                None => break,
            }
        }
        text.push_str(rest);
        text
    }

    fn push(&self, text: &mut String, name: &str, dice: &mut Dice) {
        match name {
            "user" => push_decimal(text, self.user),
            "product" => push_decimal(text, self.product),
            "order" => push_decimal(text, self.order),
            "older_order" => push_decimal(text, self.order - 1 - dice.popular(2_000_000)),
            "session" => {
                let _ = write!(text, "{:08x}", self.session as u32);
            }
            "charge" => push_hex(text, dice.bits()),
            "currency" => text.push_str(CURRENCIES[self.currency]),
            "category" => text.push_str(CATEGORIES[self.category]),
            "asset" => {
                let asset = dice.popular(ASSETS.len() as u64) as usize;
                // Built files carry a content hash in their name.
                let _ = write!(text, "{}.{:08x}.js", ASSETS[asset], mix(7, asset as u64) as u32);
            }
            other => text.push_str(other),
        }
    }
}

pub(crate) fn decimal(number: u64) -> String {
    let mut text = String::with_capacity(10);
    push_decimal(&mut text, number);
    text
}

pub(crate) fn push_decimal(text: &mut String, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut used = 0;
    loop {
        digits[used] = b'0' + (number % 10) as u8;
        used += 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend(digits[..used].iter().rev().map(|&digit| char::from(digit)));
}

pub(crate) fn push_hex(text: &mut String, number: u64) {
    for shift in (0..16).rev() {
        text.push(char::from(b"0123456789abcdef"[(number >> (shift * 4)) as usize & 15]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_fill_every_place_of_a_template() {
        let mut dice = Dice::new(1);
        let mut subject = Subject::first();
        subject.renew(&mut dice);
        let text = subject.fill("/users/{user}/orders/{order}.pdf", &mut dice);
        assert_eq!(text, format!("/users/{}/orders/{}.pdf", subject.user, subject.order));
    }
}
