//! The shop: its services, and the stores and third parties they lean on.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Go,
    Java,
    Node,
    Python,
    DotNet,
    Rust,
}

#[derive(Debug)]
pub(crate) struct Service {
    /// Place in [`SERVICES`].
    pub(crate) index: usize,
    pub(crate) name: &'static str,
    pub(crate) team: &'static str,
    pub(crate) language: Language,
    pub(crate) replicas: u16,
    pub(crate) version: &'static str,
    pub(crate) port: u16,
    /// Still on an SDK that writes numbers as text and sets no span flags beyond "sampled".
    pub(crate) old_sdk: bool,
}

const fn service(
    index: usize,
    name: &'static str,
    team: &'static str,
    language: Language,
    replicas: u16,
    version: &'static str,
) -> Service {
    Service { index, name, team, language, replicas, version, port: 8080, old_sdk: false }
}

const fn grpc(service: Service) -> Service {
    Service { port: 50051, ..service }
}

const fn old_sdk(service: Service) -> Service {
    Service { old_sdk: true, ..service }
}

pub(crate) static GATEWAY: Service = service(0, "gateway", "edge", Language::Go, 56, "3.18.2");
pub(crate) static STOREFRONT: Service = service(1, "storefront", "edge", Language::Node, 48, "2026.1.4");
pub(crate) static AUTH: Service = grpc(service(2, "auth", "identity", Language::Go, 30, "1.44.0"));
pub(crate) static USER: Service = service(3, "user", "identity", Language::Java, 26, "4.7.1");
pub(crate) static CART: Service = service(4, "cart", "shop", Language::DotNet, 32, "2.9.12");
pub(crate) static CHECKOUT: Service = grpc(service(5, "checkout", "shop", Language::Go, 28, "5.2.0"));
pub(crate) static PAYMENT: Service =
    old_sdk(grpc(service(6, "payment", "money", Language::Java, 24, "7.0.3")));
pub(crate) static CATALOG: Service = grpc(service(7, "catalog", "shop", Language::Go, 44, "1.102.0"));
pub(crate) static SEARCH: Service = service(8, "search", "discovery", Language::Java, 28, "0.31.5");
pub(crate) static RECOMMENDATION: Service =
    grpc(service(9, "recommendation", "discovery", Language::Python, 26, "0.18.0"));
pub(crate) static INVENTORY: Service = grpc(service(10, "inventory", "supply", Language::Java, 28, "3.3.9"));
pub(crate) static PRICING: Service = grpc(service(11, "pricing", "money", Language::Rust, 24, "2.1.0"));
pub(crate) static SHIPPING: Service =
    old_sdk(service(12, "shipping", "supply", Language::Node, 20, "1.8.27"));
pub(crate) static NOTIFICATION: Service = service(13, "notification", "crm", Language::Python, 20, "2.4.4");
pub(crate) static ORDER_WORKER: Service = service(14, "order-worker", "shop", Language::Java, 24, "5.2.0");
pub(crate) static FRAUD: Service = grpc(service(15, "fraud", "money", Language::Python, 18, "0.9.61"));
pub(crate) static ADS: Service = grpc(service(16, "ads", "discovery", Language::Java, 22, "1.1.8"));
pub(crate) static CURRENCY: Service = grpc(service(17, "currency", "money", Language::Rust, 16, "1.0.6"));
pub(crate) static REPORTING: Service = service(18, "reporting", "data", Language::Java, 6, "2.0.0");

pub(crate) static SERVICES: [&Service; 19] = [
    &GATEWAY,
    &STOREFRONT,
    &AUTH,
    &USER,
    &CART,
    &CHECKOUT,
    &PAYMENT,
    &CATALOG,
    &SEARCH,
    &RECOMMENDATION,
    &INVENTORY,
    &PRICING,
    &SHIPPING,
    &NOTIFICATION,
    &ORDER_WORKER,
    &FRAUD,
    &ADS,
    &CURRENCY,
    &REPORTING,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Postgres,
    Redis,
    Kafka,
    Blob,
    Elasticsearch,
    Http,
}

/// Something that sends no spans of its own and is seen only in the client spans of its callers.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The `server.address` of every span that goes there.
    pub(crate) address: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) system: System,
}

const fn peer(address: &'static str, namespace: &'static str, system: System) -> Peer {
    Peer { address, namespace, system }
}

pub(crate) static USERS_DB: Peer = peer("users-db", "users", System::Postgres);
pub(crate) static CATALOG_DB: Peer = peer("catalog-db", "catalog", System::Postgres);
pub(crate) static ORDERS_DB: Peer = peer("orders-db", "orders", System::Postgres);
pub(crate) static STOCK_DB: Peer = peer("stock-db", "stock", System::Postgres);
pub(crate) static LEDGER_DB: Peer = peer("ledger-db", "ledger", System::Postgres);
pub(crate) static SESSIONS: Peer = peer("sessions-redis", "0", System::Redis);
pub(crate) static CARTS: Peer = peer("carts-redis", "0", System::Redis);
pub(crate) static PRODUCT_CACHE: Peer = peer("product-cache", "2", System::Redis);
pub(crate) static KAFKA: Peer = peer("kafka", "", System::Kafka);
pub(crate) static BLOBS: Peer = peer("s3.eu-central-1.amazonaws.com", "", System::Blob);
pub(crate) static SEARCH_INDEX: Peer = peer("search-es", "", System::Elasticsearch);
pub(crate) static BANK: Peer = peer("api.bank.example", "", System::Http);
pub(crate) static MAIL: Peer = peer("api.mail.example", "", System::Http);
