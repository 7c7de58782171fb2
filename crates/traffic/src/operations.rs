//! What each service does when it is called, as data: the dependency graph and every trace are read off it.

use crate::services::{
    ADS, AUTH, CART, CATALOG, CHECKOUT, CURRENCY, FRAUD, GATEWAY, INVENTORY, NOTIFICATION, ORDER_WORKER,
    PAYMENT, PRICING, RECOMMENDATION, REPORTING, SEARCH, SHIPPING, STOREFRONT, Service, USER,
};
use crate::statements::{
    ADDRESS_SELECT, BANK_CHARGE, CART_DROP, CART_GET, CART_PUT, INVOICE_PUT, ITEM_INSERT, ITEMS_SELECT,
    LEDGER_INSERT, LEDGER_SELECT, MAIL_SEND, ORDER_INSERT, ORDER_SELECT, ORDER_UPDATE, PRODUCT_GET,
    PRODUCT_SELECT, PRODUCTS_GET, PRODUCTS_SELECT, RATE_GET, REPORT_PUT, REPORT_SELECT, REVIEWS_SELECT,
    SEARCH_QUERY, SESSION_GET, SESSION_TOUCH, STOCK_COUNT, STOCK_SELECT, STOCK_UPDATE, SUGGEST_QUERY,
    Statement, USER_SELECT,
};

/// One thing that a service can be asked to do.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) service: &'static Service,
    pub(crate) door: Door,
    /// Own work before the first step, median.
    pub(crate) work_us: u32,
    pub(crate) steps: &'static [Step],
}

impl Operation {
    /// A health check: it calls nobody and cannot fail.
    pub(crate) fn is_probe(&self) -> bool {
        std::ptr::eq(self, &HEALTH)
    }
}

/// How an operation is reached, which decides its span's kind, name and attributes.
#[derive(Debug)]
pub(crate) enum Door {
    Http { method: &'static str, route: &'static str, path: &'static str },
    Grpc { service: &'static str, method: &'static str },
    Topic(&'static Topic),
    Timer { name: &'static str },
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) partitions: u64,
    pub(crate) consumer: Consumer,
}

/// What happens with a published message.
#[derive(Debug)]
pub(crate) enum Consumer {
    /// Processed one by one, as a child of the producer's span.
    Child(&'static Operation),
    /// Polled in batches: a trace of its own with a link to each producer's span.
    Linked(&'static Operation),
}

#[derive(Debug)]
pub(crate) enum Step {
    /// An internal span with own work and steps inside.
    Inner(&'static str, u32, &'static [Step]),
    Call(&'static Operation),
    Ask(&'static Statement),
    Publish(&'static Topic),
    /// All at once; the page is also served when one of them fails.
    Fork(&'static [Step]),
    /// In so many of a hundred cases.
    Maybe(u8, &'static [Step]),
    /// About so many times, the most often at least once, sometimes many more.
    Times(u32, &'static [Step]),
    /// Until the trace has the size that was asked for.
    Fill(&'static [Step]),
}

/// Where traces begin, and how often of 1,000.
pub(crate) static ENTRIES: [(u32, &Operation); 14] = [
    (110, &HEALTH),
    (70, &STATIC_FILE),
    (110, &VIEW_CART),
    (150, &VIEW_PRODUCT),
    (60, &VIEW_CATEGORY),
    (92, &SEARCH_PAGE),
    (105, &SUGGEST),
    (60, &PUT_IN_CART),
    (30, &VIEW_ORDERS),
    (26, &PLACE_ORDER),
    (48, &LOGIN),
    (50, &REFRESH),
    (3, &STOCK_SYNC),
    (1, &LEDGER_CLOSE),
];

/// The batch job, started now and then and as large as it is asked to be.
pub(crate) static BATCH_JOB: Operation = Operation {
    service: &REPORTING,
    door: Door::Timer { name: "daily-report" },
    work_us: 40_000,
    steps: &[Step::Ask(&REPORT_PUT), Step::Fill(&[Step::Ask(&REPORT_SELECT), Step::Ask(&LEDGER_SELECT)])],
};

pub(crate) static ORDERS: Topic =
    Topic { name: "orders", partitions: 24, consumer: Consumer::Child(&ORDER_PROCESS) };
pub(crate) static NOTICES: Topic =
    Topic { name: "notifications", partitions: 12, consumer: Consumer::Linked(&NOTIFY) };

const fn http(
    service: &'static Service,
    method: &'static str,
    route: &'static str,
    path: &'static str,
    work_us: u32,
    steps: &'static [Step],
) -> Operation {
    Operation { service, door: Door::Http { method, route, path }, work_us, steps }
}

const fn grpc(
    service: &'static Service,
    name: &'static str,
    method: &'static str,
    work_us: u32,
    steps: &'static [Step],
) -> Operation {
    Operation { service, door: Door::Grpc { service: name, method }, work_us, steps }
}

// The edge.

static HEALTH: Operation = http(&GATEWAY, "GET", "/healthz", "/healthz", 60, &[]);
static STATIC_FILE: Operation = http(
    &GATEWAY,
    "GET",
    "/assets/{file}",
    "/assets/{asset}",
    120,
    &[Step::Inner("assets.Lookup", 90, &[]), Step::Maybe(20, &[Step::Inner("assets.Compress", 900, &[])])],
);
static VIEW_CART: Operation = http(
    &GATEWAY,
    "GET",
    "/api/cart",
    "/api/cart",
    300,
    &[Step::Maybe(35, &[Step::Call(&AUTH_CHECK)]), Step::Call(&CART_READ)],
);
static PUT_IN_CART: Operation = http(
    &GATEWAY,
    "POST",
    "/api/cart/items",
    "/api/cart/items",
    350,
    &[Step::Call(&AUTH_CHECK), Step::Call(&CART_ADD)],
);
static VIEW_PRODUCT: Operation =
    http(&GATEWAY, "GET", "/product/{id}", "/product/{product}", 280, &[Step::Call(&PRODUCT_PAGE)]);
static VIEW_CATEGORY: Operation =
    http(&GATEWAY, "GET", "/category/{slug}", "/category/{category}", 280, &[Step::Call(&CATEGORY_PAGE)]);
static SEARCH_PAGE: Operation = http(&GATEWAY, "GET", "/search", "/search", 310, &[Step::Call(&SEARCH_RUN)]);
static SUGGEST: Operation =
    http(&GATEWAY, "GET", "/api/suggest", "/api/suggest", 190, &[Step::Call(&SUGGEST_RUN)]);
static VIEW_ORDERS: Operation = http(
    &GATEWAY,
    "GET",
    "/api/users/{id}/orders",
    "/api/users/{user}/orders",
    300,
    &[Step::Call(&AUTH_CHECK), Step::Call(&ORDER_HISTORY)],
);
static PLACE_ORDER: Operation = http(
    &GATEWAY,
    "POST",
    "/api/checkout",
    "/api/checkout",
    420,
    &[Step::Call(&AUTH_CHECK), Step::Call(&CHECKOUT_PLACE)],
);
static LOGIN: Operation = http(&GATEWAY, "POST", "/api/login", "/api/login", 300, &[Step::Call(&AUTH_LOGIN)]);
static REFRESH: Operation =
    http(&GATEWAY, "POST", "/api/token", "/api/token", 200, &[Step::Ask(&SESSION_TOUCH)]);

static PRODUCT_PAGE: Operation = http(
    &STOREFRONT,
    "GET",
    "/pages/product/{id}",
    "/pages/product/{product}",
    900,
    &[
        Step::Call(&CATALOG_GET),
        Step::Fork(&[
            Step::Call(&PRICE_QUOTE),
            Step::Maybe(45, &[Step::Call(&RECOMMEND)]),
            Step::Maybe(40, &[Step::Call(&ADS_PICK)]),
            Step::Maybe(50, &[Step::Call(&STOCK_CHECK)]),
        ]),
        Step::Inner("renderProduct", 2_400, &[]),
    ],
);
static CATEGORY_PAGE: Operation = http(
    &STOREFRONT,
    "GET",
    "/pages/category/{slug}",
    "/pages/category/{category}",
    800,
    &[
        Step::Call(&CATALOG_LIST),
        Step::Fork(&[Step::Maybe(50, &[Step::Call(&ADS_PICK)]), Step::Maybe(30, &[Step::Call(&RECOMMEND)])]),
        Step::Inner("renderCategory", 3_900, &[]),
    ],
);

// Identity.

static AUTH_CHECK: Operation = grpc(&AUTH, "shop.Auth", "Check", 90, &[Step::Ask(&SESSION_GET)]);
static AUTH_LOGIN: Operation = grpc(
    &AUTH,
    "shop.Auth",
    "Login",
    1_200,
    &[Step::Call(&USER_GET), Step::Inner("auth.verifyPassword", 48_000, &[]), Step::Ask(&SESSION_TOUCH)],
);
static USER_GET: Operation =
    http(&USER, "GET", "/users/{id}", "/users/{user}", 400, &[Step::Ask(&USER_SELECT)]);
static USER_ADDRESSES: Operation = http(
    &USER,
    "GET",
    "/users/{id}/addresses",
    "/users/{user}/addresses",
    420,
    &[Step::Ask(&ADDRESS_SELECT)],
);

// Cart and order.

static CART_READ: Operation =
    http(&CART, "GET", "/carts/{id}", "/carts/{user}", 210, &[Step::Ask(&CART_GET)]);
static CART_ADD: Operation = http(
    &CART,
    "PUT",
    "/carts/{id}/items",
    "/carts/{user}/items",
    260,
    &[Step::Call(&CATALOG_GET), Step::Ask(&CART_GET), Step::Ask(&CART_PUT)],
);
static CART_CLEAR: Operation =
    http(&CART, "DELETE", "/carts/{id}", "/carts/{user}", 200, &[Step::Ask(&CART_DROP)]);
static CHECKOUT_PLACE: Operation = grpc(
    &CHECKOUT,
    "shop.Checkout",
    "Place",
    700,
    &[
        Step::Call(&CART_READ),
        Step::Call(&USER_ADDRESSES),
        Step::Times(2, &[Step::Call(&CATALOG_GET), Step::Call(&STOCK_RESERVE)]),
        Step::Call(&PRICE_TOTAL),
        Step::Call(&SHIPPING_QUOTE),
        Step::Call(&PAYMENT_CHARGE),
        Step::Ask(&ORDER_INSERT),
        Step::Times(2, &[Step::Ask(&ITEM_INSERT)]),
        Step::Publish(&ORDERS),
        Step::Call(&CART_CLEAR),
    ],
);
static ORDER_HISTORY: Operation = grpc(
    &CHECKOUT,
    "shop.Checkout",
    "History",
    500,
    &[Step::Ask(&ORDER_SELECT), Step::Times(6, &[Step::Ask(&ITEMS_SELECT)])],
);
static ORDER_PROCESS: Operation = Operation {
    service: &ORDER_WORKER,
    door: Door::Topic(&ORDERS),
    work_us: 1_500,
    steps: &[
        Step::Ask(&ORDER_UPDATE),
        Step::Call(&SHIPPING_BOOK),
        Step::Inner("InvoiceRenderer.render", 32_000, &[Step::Ask(&INVOICE_PUT)]),
        Step::Publish(&NOTICES),
    ],
};

// Money.

static PAYMENT_CHARGE: Operation = grpc(
    &PAYMENT,
    "shop.Payment",
    "Charge",
    900,
    &[
        Step::Call(&FRAUD_SCORE),
        Step::Call(&CONVERT),
        Step::Inner("ChargeService.charge", 600, &[Step::Ask(&BANK_CHARGE), Step::Ask(&LEDGER_INSERT)]),
    ],
);
static FRAUD_SCORE: Operation = grpc(
    &FRAUD,
    "shop.Fraud",
    "Score",
    5_200,
    &[Step::Call(&USER_GET), Step::Inner("model.predict", 11_000, &[])],
);
static CONVERT: Operation = grpc(&CURRENCY, "shop.Currency", "Convert", 45, &[Step::Ask(&RATE_GET)]);
static PRICE_QUOTE: Operation =
    grpc(&PRICING, "shop.Pricing", "Quote", 110, &[Step::Maybe(30, &[Step::Call(&CONVERT)])]);
static PRICE_TOTAL: Operation = grpc(&PRICING, "shop.Pricing", "Total", 240, &[Step::Call(&CONVERT)]);

// Goods.

static CATALOG_GET: Operation = grpc(
    &CATALOG,
    "shop.Catalog",
    "Get",
    130,
    &[Step::Ask(&PRODUCT_GET), Step::Maybe(15, &[Step::Ask(&PRODUCT_SELECT)])],
);
static CATALOG_LIST: Operation = grpc(
    &CATALOG,
    "shop.Catalog",
    "List",
    300,
    &[Step::Ask(&PRODUCTS_GET), Step::Maybe(45, &[Step::Ask(&PRODUCTS_SELECT)])],
);
static STOCK_CHECK: Operation = grpc(&INVENTORY, "shop.Inventory", "Check", 160, &[Step::Ask(&STOCK_SELECT)]);
static STOCK_RESERVE: Operation =
    grpc(&INVENTORY, "shop.Inventory", "Reserve", 200, &[Step::Ask(&STOCK_UPDATE)]);
static STOCK_SYNC: Operation = Operation {
    service: &INVENTORY,
    door: Door::Timer { name: "stock-sync" },
    work_us: 20_000,
    steps: &[Step::Times(170, &[Step::Ask(&STOCK_COUNT)])],
};
static LEDGER_CLOSE: Operation = Operation {
    service: &PAYMENT,
    door: Door::Timer { name: "ledger-close" },
    work_us: 15_000,
    steps: &[Step::Times(40, &[Step::Inner("LedgerCloser.page", 3_000, &[Step::Ask(&LEDGER_SELECT)])])],
};
static SHIPPING_QUOTE: Operation =
    http(&SHIPPING, "POST", "/quotes", "/quotes", 1_400, &[Step::Inner("rateTable", 500, &[])]);
static SHIPPING_BOOK: Operation = http(
    &SHIPPING,
    "PUT",
    "/shipments/{order}",
    "/shipments/{order}",
    1_900,
    &[Step::Inner("chooseCarrier", 700, &[])],
);

// Discovery.

static SEARCH_RUN: Operation = http(
    &SEARCH,
    "GET",
    "/v2/search",
    "/v2/search",
    600,
    &[Step::Ask(&SEARCH_QUERY), Step::Maybe(60, &[Step::Call(&CATALOG_LIST)])],
);
static SUGGEST_RUN: Operation =
    http(&SEARCH, "GET", "/v2/suggest", "/v2/suggest", 220, &[Step::Maybe(55, &[Step::Ask(&SUGGEST_QUERY)])]);
static RECOMMEND: Operation = grpc(
    &RECOMMENDATION,
    "shop.Recommendation",
    "ForProduct",
    2_800,
    &[
        Step::Inner("ranker.score", 4_100, &[]),
        Step::Call(&CATALOG_LIST),
        Step::Maybe(30, &[Step::Ask(&REVIEWS_SELECT)]),
    ],
);
static ADS_PICK: Operation = grpc(&ADS, "shop.Ads", "Pick", 750, &[]);

// Messages to customers.

static NOTIFY: Operation = Operation {
    service: &NOTIFICATION,
    door: Door::Topic(&NOTICES),
    work_us: 2_500,
    steps: &[Step::Call(&USER_GET), Step::Inner("templates.render", 6_000, &[]), Step::Ask(&MAIL_SEND)],
};
