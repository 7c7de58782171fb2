//! What services ask of their stores and third parties: one client span without a server span each.
//!
//! `{…}` in a text is filled from the trace's subject. Most statements are prepared and carry `$1`; the ones
//! with literals come from services that build their SQL by hand, as such services do exist.

use crate::services::{
    BANK, BLOBS, CARTS, CATALOG_DB, LEDGER_DB, MAIL, ORDERS_DB, PRODUCT_CACHE, Peer, SEARCH_INDEX, SESSIONS,
    STOCK_DB, USERS_DB,
};

#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) peer: &'static Peer,
    pub(crate) verb: &'static str,
    /// Table, index, bucket or nothing.
    pub(crate) target: &'static str,
    /// Statement, command, object key or path.
    pub(crate) text: &'static str,
    pub(crate) median_us: u32,
    /// Rows that come back, about; 0 = the span does not say.
    pub(crate) rows: u16,
}

const fn ask(
    peer: &'static Peer,
    verb: &'static str,
    target: &'static str,
    text: &'static str,
    median_us: u32,
    rows: u16,
) -> Statement {
    Statement { peer, verb, target, text, median_us, rows }
}

pub(crate) static SESSION_GET: Statement = ask(&SESSIONS, "GET", "", "GET session:{session}", 260, 0);
pub(crate) static SESSION_TOUCH: Statement =
    ask(&SESSIONS, "EXPIRE", "", "EXPIRE session:{session} 1800", 240, 0);
pub(crate) static CART_GET: Statement = ask(&CARTS, "HGETALL", "", "HGETALL cart:{user}", 320, 0);
pub(crate) static CART_PUT: Statement = ask(&CARTS, "HSET", "", "HSET cart:{user} ? ?", 340, 0);
pub(crate) static CART_DROP: Statement = ask(&CARTS, "DEL", "", "DEL cart:{user}", 300, 0);
pub(crate) static PRODUCT_GET: Statement = ask(&PRODUCT_CACHE, "GET", "", "GET product:{product}", 230, 0);
pub(crate) static PRODUCTS_GET: Statement = ask(&PRODUCT_CACHE, "MGET", "", "MGET ? ? ? ? ? ?", 410, 0);
pub(crate) static RATE_GET: Statement = ask(&PRODUCT_CACHE, "GET", "", "GET rate:{currency}", 210, 0);

pub(crate) static USER_SELECT: Statement =
    ask(&USERS_DB, "SELECT", "users", "SELECT * FROM users WHERE id = {user}", 1_100, 1);
pub(crate) static ADDRESS_SELECT: Statement =
    ask(&USERS_DB, "SELECT", "addresses", "SELECT * FROM addresses WHERE user_id = $1", 1_300, 3);
pub(crate) static PRODUCT_SELECT: Statement =
    ask(&CATALOG_DB, "SELECT", "products", "SELECT * FROM products WHERE id = $1", 1_500, 1);
pub(crate) static PRODUCTS_SELECT: Statement = ask(
    &CATALOG_DB,
    "SELECT",
    "products",
    "SELECT * FROM products WHERE category = $1 ORDER BY rank LIMIT 48",
    4_200,
    48,
);
pub(crate) static REVIEWS_SELECT: Statement =
    ask(&CATALOG_DB, "SELECT", "reviews", "SELECT * FROM reviews WHERE product_id = $1", 2_300, 20);
pub(crate) static ORDER_INSERT: Statement =
    ask(&ORDERS_DB, "INSERT", "orders", "INSERT INTO orders VALUES ($1, $2, $3, $4)", 2_100, 0);
pub(crate) static ITEM_INSERT: Statement =
    ask(&ORDERS_DB, "INSERT", "order_items", "INSERT INTO order_items VALUES ($1, $2, $3)", 1_400, 0);
pub(crate) static ORDER_SELECT: Statement =
    ask(&ORDERS_DB, "SELECT", "orders", "SELECT * FROM orders WHERE user_id = $1", 2_600, 12);
pub(crate) static ITEMS_SELECT: Statement = ask(
    &ORDERS_DB,
    "SELECT",
    "order_items",
    "SELECT * FROM order_items WHERE order_id = {older_order}",
    900,
    3,
);
pub(crate) static ORDER_UPDATE: Statement =
    ask(&ORDERS_DB, "UPDATE", "orders", "UPDATE orders SET state = 'confirmed' WHERE id = {order}", 1_900, 0);
pub(crate) static STOCK_SELECT: Statement =
    ask(&STOCK_DB, "SELECT", "stock", "SELECT quantity FROM stock WHERE sku = $1", 800, 1);
pub(crate) static STOCK_UPDATE: Statement =
    ask(&STOCK_DB, "UPDATE", "stock", "UPDATE stock SET reserved = reserved + $2 WHERE sku = $1", 1_700, 0);
pub(crate) static STOCK_COUNT: Statement =
    ask(&STOCK_DB, "UPDATE", "stock", "UPDATE stock SET quantity = $2 WHERE sku = $1", 1_200, 0);
pub(crate) static LEDGER_INSERT: Statement =
    ask(&LEDGER_DB, "INSERT", "entries", "INSERT INTO entries VALUES ($1, $2, $3, $4, $5)", 2_400, 0);
pub(crate) static LEDGER_SELECT: Statement =
    ask(&LEDGER_DB, "SELECT", "entries", "SELECT * FROM entries WHERE day = $1 LIMIT 500", 6_400, 500);
pub(crate) static REPORT_SELECT: Statement =
    ask(&ORDERS_DB, "SELECT", "orders", "SELECT * FROM orders WHERE shop = $1 AND day = $2", 9_000, 300);

pub(crate) static SEARCH_QUERY: Statement =
    ask(&SEARCH_INDEX, "search", "products-v7", "/products-v7/_search", 7_500, 24);
pub(crate) static SUGGEST_QUERY: Statement =
    ask(&SEARCH_INDEX, "search", "suggest-v2", "/suggest-v2/_search", 2_600, 8);
pub(crate) static INVOICE_PUT: Statement =
    ask(&BLOBS, "PutObject", "shop-invoices", "2026/{order}.pdf", 21_000, 0);
pub(crate) static REPORT_PUT: Statement =
    ask(&BLOBS, "PutObject", "shop-reports", "daily/{order}.parquet", 64_000, 0);
pub(crate) static BANK_CHARGE: Statement = ask(&BANK, "POST", "", "/v1/charges/ch_{charge}", 180_000, 0);
pub(crate) static MAIL_SEND: Statement = ask(&MAIL, "POST", "", "/v3/messages", 95_000, 0);
